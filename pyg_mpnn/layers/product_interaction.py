"""A layer of products at the atom: the update, and the interaction it is part of."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pyg_mpnn.arguments import check_whole
from pyg_mpnn.basis.directional import degrees
from pyg_mpnn.basis.symmetry import Symmetry, nonlinear
from pyg_mpnn.layers.channel_mixing import ChannelMixing
from pyg_mpnn.layers.edge_block import Adjacency, NodeDensity, NodeFeatures, ends
from pyg_mpnn.layers.equivariant_product import EquivariantProduct
from pyg_mpnn.layers.gather_density import GatherDensity
from pyg_mpnn.layers.powers import DensityPowers
from pyg_mpnn.mlp import MLP


class ProductUpdate(nn.Module):
    r"""Add products of a density with itself to it, gated by the features of the atom.

    .. math::
        A_i' = A_i + W'' \big[ (W A_i) \otimes_{g(h_i)} \widehat{W' A_i} \big] + g'(h_i) \odot W''' A_i, \qquad
        \widehat{B}_{lm,c} = \frac{B_{lm,c}}{\sqrt{1 + \sum_{lm} B_{lm,c}^2}}

    with the :class:`EquivariantProduct`, whose paths have the weights :math:`g_{l_1 l_2 l_3, c}(h_i)`, matrices W of
    :class:`ChannelMixing` and gates g and g' that are linear in the features. Only one factor is bounded, so products
    of products over several layers grow no faster than the density. The gates start near 0.3 for every atom.

    Args:
        in_channels: width of the node features.
        channels: channels of the density.
        l_max: largest degree of the density, at least 0.

    Shapes:
        ``density`` ``(nodes, angular, channels)``, ``x`` ``(nodes, in_channels)``; output as ``density``.

    Units:
        none.

    Raises:
        ValueError: a width below 1 or a negative ``l_max``.

    Source:
        own design, from the products of MACE (Batatia et al., NeurIPS 2022, arXiv:2206.07697, Eq. (10)) and gates as in
        Weiler et al., NeurIPS 2018, arXiv:1807.02547, section 4.3.

    Example:
        >>> import torch
        >>> ProductUpdate(8, channels=2, l_max=1)(torch.ones(3, 4, 2), torch.ones(3, 8)).shape
        torch.Size([3, 4, 2])
    """

    degrees: Tensor

    def __init__(self, in_channels: int, channels: int, l_max: int) -> None:
        super().__init__()
        check_whole(in_channels=in_channels, channels=channels)
        check_whole(0, l_max=l_max)
        self.in_channels, self.channels, self.l_max = in_channels, channels, l_max
        self.register_buffer("degrees", degrees(l_max), persistent=False)
        self.product = EquivariantProduct(l_max)
        self.factors = ChannelMixing(channels, 2 * channels, l_max)
        self.of_products = ChannelMixing(channels, channels, l_max)
        self.of_density = ChannelMixing(channels, channels, l_max)
        self.sizes = (len(self.product.paths), l_max + 1)
        self.gates = nn.Linear(in_channels, sum(self.sizes) * channels)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights."""
        for mixing in (self.factors, self.of_products, self.of_density):
            mixing.reset_parameters()
        nn.init.xavier_uniform_(self.gates.weight, gain=0.5)
        nn.init.constant_(self.gates.bias, 0.3)

    def symmetry(self, density: Symmetry, x: Symmetry) -> Symmetry:
        """Symmetry of the new density."""
        return "equivariant" if (density, x) == ("equivariant", "invariant") else "unconstrained"

    def forward(
        self, density: Float[Tensor, "nodes angular channels"], x: Float[Tensor, "nodes _"]
    ) -> Float[Tensor, "nodes angular channels"]:
        """Multiply, mix and add."""
        first, second = self.factors(density).split(self.channels, dim=-1)
        second = second * torch.rsqrt(1 + second.square().sum(dim=1, keepdim=True))
        gates = self.gates(x).unflatten(-1, (sum(self.sizes), self.channels))
        of_paths, of_degrees = gates.split(self.sizes, dim=1)
        products = self.of_products(self.product(first, second, of_paths))
        updated: Tensor = density + products + of_degrees.index_select(1, self.degrees) * self.of_density(density)
        return updated

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.in_channels}, {self.channels}, l_max={self.l_max})"


class ProductInteraction(nn.Module):
    r"""Gather at the edges, multiply at the atoms, then update the features.

    .. math::
        A_i' = P_n \circ \ldots \circ P_1 \big( A_i + \Delta A_i \big), \qquad
        h_i' = h_i + \mathrm{MLP}\big(h_i, A'_{i,00}, \langle A_i' W, A_i' W' \rangle_l\big)

    with the sums over neighbours :math:`\Delta A_i` of :class:`GatherDensity`, the products :math:`P` of
    :class:`ProductUpdate`, each of which raises the correlation order by one, and the invariants of
    :class:`DensityPowers`. Edges multiply and add, no network is on them; ``MPNN(layers=[...])`` takes it as a layer.

    Args:
        in_channels: width of the node features.
        channels: channels of the density.
        num_radial: number of radial functions.
        l_max: largest degree of the density, at least 0.
        num_products: number of products at the atom, at least 0.
        carry: whether densities of neighbours are gathered: not in a first layer, where there are none.

    Shapes:
        ``x`` ``(nodes, in_channels)``, ``edge_index`` ``(2, edges)``, ``radial`` ``(edges, radial)``, ``envelope``
        ``(edges,)``, ``sphere`` ``(edges, angular)``, ``density`` ``(nodes, angular, channels)``; output: new ``x``
        and ``density``. ``x`` and ``density`` may be pairs of senders and receivers; the output is of the receivers.

    Units:
        none.

    Raises:
        ValueError: a width below 1, a negative ``l_max`` or number of products.

    Source:
        own design: products of densities at the atom as in MACE (Batatia et al., NeurIPS 2022, arXiv:2206.07697),
        invariant features beside them as in PaiNN (Schütt, Unke and Gastegger, ICML 2021, arXiv:2102.03150).

    Example:
        >>> import torch
        >>> layer = ProductInteraction(8, channels=2, num_radial=3, l_max=1, carry=False)
        >>> edge_index = torch.tensor([[1, 0], [0, 1]])
        >>> x, density = layer(torch.ones(2, 8), edge_index, torch.ones(2, 3), torch.ones(2), torch.ones(2, 4))
        >>> x.shape, density.shape
        (torch.Size([2, 8]), torch.Size([2, 4, 2]))
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        num_radial: int,
        l_max: int,
        *,
        num_products: int = 1,
        carry: bool = True,
    ) -> None:
        super().__init__()
        check_whole(in_channels=in_channels, channels=channels, num_radial=num_radial)
        check_whole(0, l_max=l_max, num_products=num_products)
        self.in_channels, self.channels, self.num_radial, self.l_max = in_channels, channels, num_radial, l_max
        self.num_products, self.carry = num_products, carry
        self.gather = GatherDensity(in_channels, channels, num_radial, l_max, carry=carry)
        self.products = nn.ModuleList(ProductUpdate(in_channels, channels, l_max) for _ in range(num_products))
        self.powers = DensityPowers(channels, l_max, 2 * channels)
        self.mlp = MLP([in_channels + channels + 2 * (l_max + 1) * channels, in_channels, in_channels])

    def reset_parameters(self) -> None:
        """Draw new weights in every part."""
        for part in (self.gather, *self.products, self.powers, self.mlp):
            part.reset_parameters()

    def set_neighbors(self, counts: Sequence[float]) -> None:
        r"""Fix the number :math:`\nu` that divides the sums over neighbours.

        Args:
            counts: effective number of neighbours, of the one scale that the layer has.

        Raises:
            ValueError: several scales.
        """
        if len(counts) != 1:
            raise ValueError(
                f"'cutoff' must be one radius (in A) with ProductInteraction, got {len(counts)} scales: Interaction "
                "and MultiScale take several"
            )
        self.gather.nu.fill_(counts[0])

    def symmetry(
        self, x: Symmetry, radial: Symmetry, sphere: Symmetry, density: Symmetry = "equivariant"
    ) -> tuple[Symmetry, Symmetry]:
        """Symmetry of the new node features and of the new density."""
        density = self.gather.symmetry(x, radial, sphere, density)
        for product in self.products:
            density = product.symmetry(density, x)  # type: ignore[operator]
        return nonlinear(x, self.powers.symmetry(density)), density

    def forward(
        self,
        x: NodeFeatures,
        edge_index: Adjacency,
        radial: Float[Tensor, "edges radial"],
        envelope: Float[Tensor, " edges"],
        sphere: Float[Tensor, "edges angular"],
        density: NodeDensity | None = None,
    ) -> tuple[Float[Tensor, "nodes _"], Float[Tensor, "nodes angular channels"]]:
        """New node features and new density."""
        change: Tensor = self.gather(x, edge_index, radial, sphere, envelope, density)
        own = ends(x)[1]
        new = change if density is None else ends(density)[1] + change
        for product in self.products:
            new = product(new, own)
        return own + self.mlp(torch.cat([own, new[:, 0], self.powers(new)], dim=-1)), new

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.gather}, num_products={self.num_products}, {self.mlp})"
