"""The representation: from elements and edge vectors to features of the atoms, composed from the blocks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Union, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pyg_mpnn.arguments import check_whole
from pyg_mpnn.basis import DirectionalBasis, Symmetry
from pyg_mpnn.geometry import as_cutoffs
from pyg_mpnn.layers import (
    AtomEmbedding,
    ContractedFeatures,
    DensityPowers,
    DensityUpdate,
    DirectionalDensity,
    EdgeMLP,
    Interaction,
    LearnedFeatures,
    Messages,
    MultiScale,
    NodeUpdate,
    ProductUpdate,
    RadialFeatures,
    RawFeatures,
)
from pyg_mpnn.layers.learned_features import Invariant
from pyg_mpnn.models.build import part_factory
from pyg_mpnn.models.checks import check_layer
from pyg_mpnn.models.chunks import Memory, advance_in_chunks
from pyg_mpnn.models.features import Features
from pyg_mpnn.models.parts import ATTENTIONS, BASES, ENVELOPES, Directions, check_name

Part = Union[str, Callable[..., nn.Module], nn.Module, Mapping[str, Any]]  # noqa: UP007 (Python 3.10)
"""A part: its short name, a class or another callable that makes it from the sizes the model knows, an instance, or a
description ``{"class": name, **arguments}``."""

Exchange = Callable[[Tensor | None, Tensor | None], tuple[Tensor | None, Tensor | None]]
"""From features and density of the own atoms to those of own atoms and ghosts, see :meth:`MPNN.forward`."""


class _Edges(NamedTuple):
    """What every layer reads of the edges of one scale."""

    edge_index: Tensor  # (2, edges)
    radial: Tensor  # (edges, radial)
    envelope: Tensor  # (edges,)
    sphere: Tensor | None  # (edges, angular)


class MPNN(nn.Module):
    r"""Message-passing network with directions contracted to invariants, at a cost linear in the number of edges.

    .. math::
        h_i^0 = \mathrm{Embedding}(z_i), \quad A_i^0 = \frac{1}{\nu} \sum_j f_c \, w_{ij} \, Y_{ij}, \quad
        (h^{t+1}, A^{t+1}) = \mathrm{Interaction}_t(h^t, A^t)

    Distances, directions, basis and cutoff functions are computed once and shared by all layers and scales. With
    several cutoffs each layer is a :class:`~pyg_mpnn.MultiScale`, else an :class:`~pyg_mpnn.Interaction`.

    Args:
        cutoff: cutoff radius in angstrom, or 2 to 3 increasing radii for several scales.
        hidden_channels: width of the node features.
        edge_dim: width of edge features and messages.
        channels: channels of the directional density; of no effect without contracted directions.
        l_max: largest degree of the spherical harmonics; of no effect with radial directions.
        num_layers: number of message-passing layers.
        num_radial: number of radial functions, which the basis is asked for.
        basis: radial basis, ``"bessel"``, ``"gaussian"`` or ``"exp_normal"``, or a part of your own: what is called
            with the largest cutoff and ``num_radial`` and maps distances ``(edges,)`` to ``(edges, radial)``.
        envelope: cutoff function, ``"polynomial"`` (two continuous derivatives), ``"cosine"`` (one) or ``"bump"``
            (all), or a part of your own: what is called with a cutoff and maps ``(edges,)`` to ``(edges,)``.
        directions: ``"contracted"`` (invariant), ``"raw"`` (unconstrained) or ``"radial"`` (none).
        invariants: products that the contracted features see, of ``"receiver"``, ``"sender"``, ``"pair"``.
        attention: ``"sigmoid"``, ``"softmax"`` or ``None``, or a part of your own: a subclass of
            :class:`~pyg_mpnn.Attention`, called with ``in_channels``, ``edge_dim`` and ``heads`` for each layer and
            scale.
        heads: heads of the attention.
        num_products: products of the density with itself at the atom in each layer, :class:`~pyg_mpnn.ProductUpdate`;
            of no effect without contracted directions.
        layers: layers of your own, called as those of this package (``pyg_mpnn/layers/README.md``). What describes
            layers (``edge_dim``, ``num_layers``, ``invariants``, ``attention``, ``heads``, ``num_products``) is of no
            effect then.

    Shapes:
        ``z`` ``(nodes,)``, ``edge_index`` ``(2, edges)``, ``edge_vec`` ``(edges, 3)``; output: the node features
        ``(nodes, channels)`` after each layer, a list of ``num_layers`` tensors.

    Units:
        ``edge_vec`` in angstrom; output none.

    Raises:
        ValueError: a cutoff that is not positive, cutoffs that do not increase, an unknown name of a part, or a basis
            or an envelope that returns another shape.
        TypeError: a part that cannot be made from the sizes, or a layer without the methods of one.

    Source:
        own design (contracted directions), from the density of Drautz, Phys. Rev. B 99, 014104 (2019), and the carried
        vectors of Schütt, Unke and Gastegger, ICML 2021 (PaiNN), arXiv:2102.03150.

    Example:
        >>> import torch
        >>> features = MPNN(hidden_channels=16)(torch.tensor([1, 1]), torch.tensor([[1, 0], [0, 1]]), torch.ones(2, 3))
        >>> features[-1].shape
        torch.Size([2, 16])
    """

    graph_inputs: tuple[str, ...] = ()  # numbers of a structure, such as its charge, that it reads

    def __init__(
        self,
        *,
        cutoff: float | Sequence[float] = 5.0,
        hidden_channels: int = 128,
        edge_dim: int = 64,
        channels: int = 16,
        l_max: int = 2,
        num_layers: int = 2,
        num_radial: int = 8,
        basis: Part = "bessel",
        envelope: Part = "polynomial",
        directions: Directions = "contracted",
        invariants: Sequence[Invariant] = ("receiver",),
        attention: Part | None = None,
        heads: int = 1,
        num_products: int = 0,
        layers: Sequence[nn.Module] | None = None,
    ) -> None:
        super().__init__()
        cutoffs = as_cutoffs(cutoff)
        check_name("directions", directions, get_args(Directions))
        make_basis = part_factory("basis", basis, BASES)
        make_envelope = part_factory("envelope", envelope, ENVELOPES)
        make_attention = None if attention is None else part_factory("attention", attention, ATTENTIONS)
        check_whole(
            hidden_channels=hidden_channels, edge_dim=edge_dim, channels=channels, num_layers=num_layers, heads=heads
        )
        check_whole(0, num_products=num_products)
        if attention is None and heads != 1:
            raise ValueError(f"'heads' must be 1 without attention, got {heads}: pass attention='sigmoid' or 'softmax'")
        if layers is not None and not layers:
            raise ValueError("'layers' must hold at least one layer, got none")
        for layer in layers or ():
            check_layer(layer)
        self.config: dict[str, Any] = {
            "cutoff": list(cutoffs),
            "hidden_channels": hidden_channels,
            "edge_dim": edge_dim,
            "channels": channels,
            "l_max": l_max,
            "num_layers": num_layers,
            "num_radial": num_radial,
            "basis": make_basis if isinstance(basis, Mapping) else basis,
            "envelope": make_envelope if isinstance(envelope, Mapping) else envelope,
            "directions": directions,
            "invariants": list(invariants),
            "attention": make_attention if isinstance(attention, Mapping) else attention,
            "heads": heads,
            "num_products": num_products,
            "layers": None if layers is None else list(layers),
        }
        self.cutoffs, self.out_channels = cutoffs, hidden_channels
        self.num_layers = num_layers if layers is None else len(layers)
        self.radial, num_radial = _basis_of(make_basis, cutoffs[-1], num_radial)
        contracted = directions == "contracted"
        self.density_channels, self.density_degree = (channels, l_max) if contracted else (0, 0)

        def make_features() -> LearnedFeatures:
            if contracted:
                return ContractedFeatures(num_radial, channels, l_max, None, invariants)
            if directions == "raw":
                return RawFeatures(num_radial, l_max, edge_dim)
            return RadialFeatures(num_radial, edge_dim)

        def make_messages() -> Messages:
            features = make_features()
            edge_mlp = EdgeMLP(hidden_channels, features.out_channels, edge_dim, edge_dim)
            sizes = hidden_channels, edge_dim, heads
            weights = None if make_attention is None else _make("attention", make_attention, *sizes)
            return Messages(features, edge_mlp, num_radial, attention=weights)

        def make_layer() -> Interaction | MultiScale:
            update = NodeUpdate(hidden_channels, edge_dim, (l_max + 1) * channels if contracted else 0)
            density_update = DensityUpdate(hidden_channels, edge_dim, channels, l_max) if contracted else None
            powers = DensityPowers(channels, l_max, channels) if contracted else None
            count = num_products if contracted else 0
            products = [ProductUpdate(hidden_channels, channels, l_max) for _ in range(count)]
            if len(cutoffs) == 1:
                return Interaction(make_messages(), update, density_update, powers, products)
            return MultiScale([make_messages() for _ in cutoffs], update, density_update, powers, products)

        self.embedding = AtomEmbedding(hidden_channels)
        self.envelopes = nn.ModuleList(_envelope_of(make_envelope, radius) for radius in cutoffs)
        self.directional = None if directions == "radial" else DirectionalBasis(l_max)
        self.density = DirectionalDensity(hidden_channels, channels, num_radial, l_max) if contracted else None
        self.layers = nn.ModuleList((make_layer() for _ in range(num_layers)) if layers is None else layers)

    @property
    def cutoff(self) -> float:
        """Largest cutoff in angstrom: the range of the edges that the network needs."""
        return self.cutoffs[-1]

    @property
    def receptive_field(self) -> float:
        r"""Distance in angstrom beyond which an atom has no effect on the features of another.

        One cutoff for each layer and one more for the density that is carried from the start: the cutoff times
        ``num_layers`` + 1, or ``num_layers`` without a density. A force reaches twice as far: it is the derivative of
        the energies of all atoms within this distance, which depend on atoms as far again.
        """
        return (len(self.layers) + (self.density is not None)) * self.cutoff

    @property
    def smoothness(self) -> float:
        """Number of continuous derivatives of the features at the cutoffs."""
        return min(float(getattr(envelope, "smoothness", 1)) for envelope in self.envelopes)

    @property
    def symmetry(self) -> Symmetry:
        """Symmetry of the output, as the blocks declare it."""
        x: Symmetry = self.embedding.symmetry
        radial: Symmetry = "invariant"
        sphere: Symmetry = "invariant" if self.directional is None else self.directional.symmetry
        density: Symmetry = "invariant" if self.density is None else self.density.symmetry(x, radial, sphere)
        for layer in self.layers:
            x, density = layer.symmetry(x, radial, sphere, density)  # type: ignore[operator]
        return x

    def reset_parameters(self) -> None:
        """Draw new weights in every part."""
        for part in (self.embedding, self.density, *self.layers):
            if part is not None:
                part.reset_parameters()

    def set_neighbors(self, neighbors: Sequence[float]) -> None:
        r"""Fix the number :math:`\nu` that divides each sum over neighbours, from the training data.

        .. math:: \nu_s = \bar n_s \int_0^1 3 x^2 f_c(x r_s) \, dx

        the mean number of neighbours of scale s, each counted by its cutoff function as if they filled the sphere
        evenly.

        Args:
            neighbors: mean number of neighbours of an atom, one for each cutoff.
        """
        if len(neighbors) != len(self.cutoffs) or not all(0 <= count < float("inf") for count in neighbors):
            raise ValueError(
                f"'neighbors' must hold one finite mean number of neighbours for each of {len(self.cutoffs)} cutoffs, "
                f"got {list(neighbors)}"
            )
        counts = [
            max(_effective_neighbors(envelope, count, cutoff), 1.0)
            for envelope, count, cutoff in zip(self.envelopes, neighbors, self.cutoffs, strict=True)
        ]
        for layer in self.layers:
            layer.set_neighbors(counts)  # type: ignore[operator]
        if self.density is not None:
            self.density.nu.fill_(counts[-1])

    def forward(
        self,
        z: Int[Tensor, " nodes"],
        edge_index: Int[Tensor, "2 edges"],
        edge_vec: Float[Tensor, "edges 3"],
        near: Sequence[Int[Tensor, " _"]] | None = None,
        *,
        memory: Memory = "normal",
        num_own: int | None = None,
        exchange: Exchange | None = None,
    ) -> list[Float[Tensor, "_ channels"]]:
        """Node features after each layer; arguments as of :meth:`features`."""
        return list(self.features(z, edge_index, edge_vec, near, memory=memory, num_own=num_own, exchange=exchange).x)

    def features(
        self,
        z: Int[Tensor, " nodes"],
        edge_index: Int[Tensor, "2 edges"],
        edge_vec: Float[Tensor, "edges 3"],
        near: Sequence[Int[Tensor, " _"]] | None = None,
        *,
        memory: Memory = "normal",
        num_own: int | None = None,
        exchange: Exchange | None = None,
    ) -> Features:
        """Node features after each layer, and the directional density after the last.

        One domain of a larger structure: the first ``num_own`` atoms are its own, the others ghosts, atoms of other
        domains (or periodic images) within one cutoff of an own one. Edges end at own atoms only, and so do the
        results. Before each layer ``exchange(x, density)`` is called with the features and the density of the own atoms
        and returns those of all atoms, the own ones first, as a differentiable function. ``x`` is ``None`` in the first
        call, because the features of the elements are known, ``density`` is ``None`` where there is none; the answer is
        ``None`` there too.

        Args:
            z: atomic numbers.
            edge_index: edges, source first.
            edge_vec: vectors from centre to neighbour in angstrom.
            near: what :meth:`near_edges` gives, which is called where it is not given.
            memory: with ``"low"`` the edges, sorted by receiver, are worked on in chunks, see
                ``pyg_mpnn.models.chunks``.
            num_own: number of atoms of this domain of a larger structure, which come first.
            exchange: what gives features and density of all atoms of a domain from those of its own.

        Returns:
            features, and the density where directions are contracted.
        """
        if (num_own is None) != (exchange is None) or (num_own is not None and not 0 <= num_own <= z.shape[0]):
            raise ValueError(
                f"'num_own' must be a number of at most {z.shape[0]} atoms and come with 'exchange', got {num_own} and "
                f"{exchange}"
            )
        scales = self._edges(edge_index, edge_vec, self.near_edges(edge_vec) if near is None else near)
        senders, density = self.embedding(z), None
        x = senders if exchange is None else senders[:num_own]
        if self.density is not None:
            pair = senders if exchange is None else (senders, x)
            largest = scales[-1]
            density = self.density(pair, largest.edge_index, largest.radial, largest.sphere, largest.envelope)
        edges = scales[0] if len(scales) == 1 else tuple(zip(*scales, strict=True))
        features: list[Tensor] = []
        for layer in self.layers:
            given_x, given_density = x, density
            if exchange is not None:
                all_x, all_density = exchange(x if features else None, density)
                given_x = (all_x if features else senders, x)
                given_density = None if density is None else (all_density, density)
            if memory == "low" and len(x) > 0:
                x, density = advance_in_chunks(layer, given_x, scales, given_density)
            else:
                x, density = _returned(layer, layer(given_x, *edges, given_density))
            features.append(x)
        return Features(features, density)

    def near_edges(self, edge_vec: Float[Tensor, "edges 3"]) -> list[Int[Tensor, " _"]]:
        """Indices of the edges within each cutoff but the largest.

        Their number depends on the positions, so compiled code takes them from outside.

        Args:
            edge_vec: vectors from centre to neighbour in angstrom.

        Returns:
            one list of indices for each smaller scale.
        """
        if len(self.cutoffs) == 1:
            return []
        dist = torch.linalg.vector_norm(edge_vec.detach(), dim=-1)
        return [(dist < cutoff).nonzero().squeeze(-1) for cutoff in self.cutoffs[:-1]]

    def _edges(self, edge_index: Tensor, edge_vec: Tensor, near: Sequence[Tensor]) -> list[_Edges]:
        """Geometry, computed once; the smaller scales are selections from the largest."""
        dist = torch.linalg.vector_norm(edge_vec, dim=-1)
        radial = self.radial(dist)
        sphere = None if self.directional is None else self.directional(edge_vec)
        scales = []
        for envelope, edges in zip(self.envelopes[:-1], near, strict=True):
            selected = None if sphere is None else sphere.index_select(0, edges)
            weights = envelope(dist.index_select(0, edges))
            scales.append(_Edges(edge_index.index_select(1, edges), radial.index_select(0, edges), weights, selected))
        return [*scales, _Edges(edge_index, radial, self.envelopes[-1](dist), sphere)]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.config.items())})"


def _basis_of(make: Callable[..., nn.Module], cutoff: float, num_radial: int) -> tuple[nn.Module, int]:
    """The radial basis, and how many functions it has."""
    basis = _make("basis", make, cutoff, num_radial)
    own = getattr(basis, "cutoff", cutoff)
    if own != cutoff:
        raise ValueError(f"'basis' must have the largest cutoff of the model, {cutoff:g} A, got {own:g}")
    count = getattr(basis, "num_radial", num_radial)
    values = basis(torch.tensor([0.5 * cutoff, 0.75 * cutoff]))
    if values.shape != (2, count):
        raise ValueError(
            f"'basis' must map distances (edges,) to (edges, {count}), got {tuple(values.shape)} for 2 edges from "
            f"{type(basis).__name__}.forward: give it an attribute num_radial, or pass num_radial={values.shape[-1]}"
        )
    return basis, count


def _envelope_of(make: Callable[..., nn.Module], cutoff: float) -> nn.Module:
    """The cutoff function of one scale."""
    envelope: nn.Module = _make("envelope", make, cutoff)
    values = envelope(torch.tensor([0.5 * cutoff, cutoff]))
    if values.shape != (2,):
        raise ValueError(
            f"'envelope' must map distances (edges,) to (edges,), got {tuple(values.shape)} for 2 edges from "
            f"{type(envelope).__name__}.forward"
        )
    return envelope


def _make(argument: str, make: Callable[..., nn.Module], *sizes: float) -> Any:
    """A part from the sizes that the network knows."""
    try:
        part = make(*sizes)
    except TypeError as error:
        raise TypeError(f"'{argument}' must make a part when called with {sizes}, got: {error}") from error
    if not isinstance(part, nn.Module):
        raise TypeError(f"'{argument}' must make an nn.Module, got {type(part).__name__}")
    return part


def _returned(layer: nn.Module, values: Any) -> tuple[Tensor, Tensor | None]:
    """Features and density of a layer, refused where it returns something else."""
    if not isinstance(values, tuple) or len(values) != 2:
        found = f"a {type(values).__name__}" if not isinstance(values, tuple) else f"{len(values)} values"
        raise TypeError(f"{type(layer).__name__}.forward must return the new x and the new density, got {found}")
    return values


def _effective_neighbors(envelope: nn.Module, count: float, cutoff: float) -> float:
    """Mean number of neighbours, each counted by its cutoff function, see :meth:`MPNN.set_neighbors`."""
    x = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000
    return count * float((3 * x**2 * envelope(x * cutoff)).mean())
