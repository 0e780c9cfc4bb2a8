"""The representation whose edges gather and whose atoms multiply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pyg_mpnn.arguments import check_whole
from pyg_mpnn.basis import DirectionalBasis, Symmetry
from pyg_mpnn.geometry import as_cutoffs
from pyg_mpnn.layers import AtomEmbedding, ProductInteraction
from pyg_mpnn.models.build import part_factory
from pyg_mpnn.models.features import Features
from pyg_mpnn.models.mpnn import Exchange, Part, check_domain, effective_neighbors, make_basis_of
from pyg_mpnn.models.parts import BASES, ENVELOPES


class ProductMPNN(nn.Module):
    r"""Message-passing network with equivariant products at the atoms and no network on the edges.

    .. math::
        h_i^0 = \mathrm{Embedding}(z_i), \quad A_i^0 = 0, \quad
        (h^{t+1}, A^{t+1}) = \mathrm{ProductInteraction}_t(h^t, A^t)

    An atom has 14 (molecules) to 60 (metals) edges, so what is moved from the edges to the atoms costs little: edges
    multiply and add, :class:`~pyg_mpnn.ProductInteraction`, and angles, torsions and higher correlations come from
    products of the densities at the atoms.

    Args:
        cutoff: cutoff radius in angstrom.
        hidden_channels: width of the node features.
        channels: channels of the directional density.
        l_max: largest degree of the spherical harmonics.
        num_layers: number of message-passing layers.
        num_products: products at the atom in each layer; each raises the correlation order by one.
        num_radial: number of radial functions.
        basis: radial basis, ``"bessel"``, ``"gaussian"`` or ``"exp_normal"``, or a part of your own as for
            :class:`MPNN`.
        envelope: cutoff function, ``"polynomial"`` (two continuous derivatives), ``"cosine"`` (one) or ``"bump"``
            (all), or a part of your own.

    Shapes:
        ``z`` ``(nodes,)``, ``edge_index`` ``(2, edges)``, ``edge_vec`` ``(edges, 3)``; output: the node features
        ``(nodes, channels)`` after each layer, a list of ``num_layers`` tensors.

    Units:
        ``edge_vec`` in angstrom; output none.

    Raises:
        ValueError: a cutoff that is not positive, or several of them; an unknown name of a part.

    Source:
        own design, after MACE (Batatia et al., NeurIPS 2022, arXiv:2206.07697) and PaiNN (Schütt, Unke and Gastegger,
        ICML 2021, arXiv:2102.03150).

    Example:
        >>> import torch
        >>> network = ProductMPNN(hidden_channels=16, channels=4)
        >>> network(torch.tensor([1, 1]), torch.tensor([[1, 0], [0, 1]]), torch.ones(2, 3))[-1].shape
        torch.Size([2, 16])
    """

    graph_inputs: tuple[str, ...] = ()  # numbers of a structure, such as its charge, that it reads

    def __init__(
        self,
        *,
        cutoff: float | Sequence[float] = 5.0,
        hidden_channels: int = 128,
        channels: int = 32,
        l_max: int = 2,
        num_layers: int = 2,
        num_products: int = 1,
        num_radial: int = 8,
        basis: Part = "bessel",
        envelope: Part = "polynomial",
    ) -> None:
        super().__init__()
        cutoffs = as_cutoffs(cutoff)
        if len(cutoffs) > 1:
            raise ValueError(f"'cutoff' must be one radius (in A), got {list(cutoffs)}: MPNN takes several")
        make_basis = part_factory("basis", basis, BASES)
        make_envelope = part_factory("envelope", envelope, ENVELOPES)
        check_whole(hidden_channels=hidden_channels, channels=channels, num_layers=num_layers, num_radial=num_radial)
        check_whole(0, l_max=l_max, num_products=num_products)
        self.cutoffs, self.out_channels, self.num_layers = cutoffs, hidden_channels, num_layers
        self.density_channels, self.density_degree = channels, l_max
        self.config: dict[str, Any] = {
            "cutoff": cutoffs[0],
            "hidden_channels": hidden_channels,
            "channels": channels,
            "l_max": l_max,
            "num_layers": num_layers,
            "num_products": num_products,
            "num_radial": num_radial,
            "basis": make_basis if isinstance(basis, Mapping) else basis,
            "envelope": make_envelope if isinstance(envelope, Mapping) else envelope,
        }
        self.embedding = AtomEmbedding(hidden_channels)
        self.radial, num_radial = make_basis_of(make_basis, cutoffs[0], num_radial)
        self.envelope = make_envelope(cutoffs[0])
        self.directional = DirectionalBasis(l_max)
        self.layers = nn.ModuleList(
            ProductInteraction(hidden_channels, channels, num_radial, l_max, num_products=num_products, carry=layer > 0)
            for layer in range(num_layers)
        )

    @property
    def cutoff(self) -> float:
        """Cutoff in angstrom: the range of the edges that the network needs."""
        return self.cutoffs[0]

    @property
    def smoothness(self) -> float:
        """Number of continuous derivatives of the features at the cutoff."""
        return float(getattr(self.envelope, "smoothness", 1))

    @property
    def receptive_field(self) -> float:
        """Distance in angstrom beyond which an atom has no effect on the features of another: a cutoff a layer."""
        return len(self.layers) * self.cutoff

    @property
    def symmetry(self) -> Symmetry:
        """Symmetry of the output, as the blocks declare it."""
        x: Symmetry = self.embedding.symmetry
        density: Symmetry = "equivariant"
        for layer in self.layers:
            x, density = layer.symmetry(x, "invariant", self.directional.symmetry, density)  # type: ignore[operator]
        return x

    def reset_parameters(self) -> None:
        """Draw new weights in every part."""
        for part in (self.embedding, *self.layers):
            part.reset_parameters()

    def set_neighbors(self, neighbors: Sequence[float]) -> None:
        r"""Fix the number :math:`\nu` that divides each sum over neighbours, as :meth:`MPNN.set_neighbors` does.

        Args:
            neighbors: mean number of neighbours of an atom, one number.
        """
        if len(neighbors) != 1 or not 0 <= neighbors[0] < float("inf"):
            raise ValueError(f"'neighbors' must hold one finite mean number of neighbours, got {list(neighbors)}")
        nu = max(effective_neighbors(self.envelope, neighbors[0], self.cutoff), 1.0)
        for layer in self.layers:
            layer.gather.nu.fill_(nu)  # type: ignore[union-attr, operator]

    def forward(
        self,
        z: Int[Tensor, " nodes"],
        edge_index: Int[Tensor, "2 edges"],
        edge_vec: Float[Tensor, "edges 3"],
        near: Sequence[Int[Tensor, " _"]] | None = None,
        *,
        num_own: int | None = None,
        exchange: Exchange | None = None,
    ) -> list[Float[Tensor, "_ channels"]]:
        """Node features after each layer; arguments as of :meth:`features`."""
        return list(self.features(z, edge_index, edge_vec, near, num_own=num_own, exchange=exchange).x)

    def features(
        self,
        z: Int[Tensor, " nodes"],
        edge_index: Int[Tensor, "2 edges"],
        edge_vec: Float[Tensor, "edges 3"],
        near: Sequence[Int[Tensor, " _"]] | None = None,
        *,
        num_own: int | None = None,
        exchange: Exchange | None = None,
    ) -> Features:
        """Node features after each layer, and the directional density after the last.

        Args:
            z: atomic numbers.
            edge_index: edges, source first.
            edge_vec: vectors from centre to neighbour in angstrom.
            near: not used, there is one cutoff.
            num_own: number of atoms of this domain of a larger structure, which come first, as for :class:`MPNN`.
            exchange: what gives features and density of all atoms of a domain from those of its own.

        Returns:
            features and density.
        """
        dist = torch.linalg.vector_norm(edge_vec, dim=-1)
        edges = edge_index, self.radial(dist), self.directional(edge_vec), self.envelope(dist)
        check_domain(z, num_own, exchange)
        senders, density = self.embedding(z), None
        x = senders if exchange is None else senders[:num_own]
        features: list[Tensor] = []
        for layer in self.layers:
            given_x, given_density = x, density
            if exchange is not None:
                all_x, all_density = exchange(x if features else None, density)
                given_x = (all_x if features else senders, x)
                given_density = None if density is None else (all_density, density)
            x, density = layer(given_x, *edges, given_density)
            features.append(x)
        return Features(features, density)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.config.items())})"
