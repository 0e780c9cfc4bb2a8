"""Learned edge features from distance and direction, in three ways."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pyg_mpnn.arguments import check_whole
from pyg_mpnn.basis.symmetry import Symmetry, nonlinear
from pyg_mpnn.layers.edge_block import Adjacency, EdgeBlock, NodeDensity, edge_pairs
from pyg_mpnn.layers.powers import Contraction
from pyg_mpnn.mlp import MLP

Invariant = Literal["receiver", "sender", "pair"]


class LearnedFeatures(nn.Module, ABC):
    r"""Interface: learned features :math:`RY_{ij}` of an edge from its distance and direction.

    The three implementations differ in what they do with the direction, and so in the symmetry of their output:
    :class:`ContractedFeatures` (exactly invariant, the default), :class:`RawFeatures` (unconstrained) and
    :class:`RadialFeatures` (invariant, blind to angles).

    Shapes:
        ``forward(density, edge_index, radial, sphere)`` maps ``(nodes, angular, channels)``, ``(2, edges)``,
        ``(edges, radial)`` and ``(edges, angular)`` to ``(edges, out_channels)``.
    """

    out_channels: int

    @abstractmethod
    def reset_parameters(self) -> None:
        """Draw new weights."""

    @abstractmethod
    def symmetry(self, density: Symmetry, radial: Symmetry, sphere: Symmetry) -> Symmetry:
        """Symmetry of the output, given that of the inputs."""

    @abstractmethod
    def forward(
        self,
        density: NodeDensity | None,
        edge_index: Adjacency,
        radial: Float[Tensor, "edges radial"],
        sphere: Float[Tensor, "edges angular"] | None = None,
    ) -> Float[Tensor, "edges _"]:
        """Features of each edge."""


class ContractedFeatures(EdgeBlock, LearnedFeatures):
    r"""Learned features from distances and angles that are exactly invariant under rotation and inversion.

    .. math::
        RY_{ij} = \mathrm{MLP}(b_{ij}, \sinh^{-1} \langle A_i, Y_{ij} \rangle_l,
                  \sinh^{-1} \langle A_j, Y_{ij} \rangle_l, \sinh^{-1} \langle A_i, A_j \rangle_l)

    with the directional density :math:`A` of receiver i and sender j, per degree l and channel: the first product holds
    the angles around i, the second those around j, the third depends on torsions. The density :math:`A_i` contains
    neighbour j itself; that self term is kept. The cost is linear in the number of edges. The inverse hyperbolic sine
    lets large products grow like a logarithm, see :class:`~pyg_mpnn.DensityPowers`.

    With ``out_channels=None`` the inputs of the network come as they are: an :class:`~pyg_mpnn.EdgeMLP` that follows is
    a network on them already. :class:`~pyg_mpnn.MPNN` does so, see ``benchmarks/results/README.md``.

    Args:
        num_radial: number of radial functions.
        channels: number of channels of the density.
        l_max: largest degree of density and spherical harmonics, at least 0.
        out_channels: width of the features, ``None`` for no network.
        invariants: which products the network sees: ``"receiver"``, ``"sender"``, ``"pair"``.

    Shapes:
        ``density`` ``(nodes, angular, channels)``, ``edge_index`` ``(2, edges)``, ``radial`` ``(edges, radial)``,
        ``sphere`` ``(edges, angular)``; output ``(edges, out_channels)``, without a network the attribute
        ``out_channels`` tells the width.

    Units:
        none.

    Raises:
        ValueError: a width below 1 or an unknown, repeated or missing invariant.

    Source:
        own design, after the density trick of Bartók, Kondor and Csányi, Phys. Rev. B 87, 184115 (2013), and the
        invariant products of equivariant node features in Schütt, Unke and Gastegger, ICML 2021 (PaiNN),
        arXiv:2102.03150.

    Example:
        >>> import torch
        >>> layer = ContractedFeatures(3, channels=2, l_max=1, out_channels=5)
        >>> edge_index = torch.tensor([[1, 0], [0, 1]])
        >>> layer(torch.ones(2, 4, 2), edge_index, torch.ones(2, 3), torch.ones(2, 4)).shape
        torch.Size([2, 5])
    """

    mlp: MLP | None

    def __init__(
        self,
        num_radial: int,
        channels: int,
        l_max: int,
        out_channels: int | None,
        invariants: Sequence[Invariant] = ("receiver", "sender", "pair"),
    ) -> None:
        super().__init__(sums=False)
        if not invariants or len(set(invariants)) < len(invariants) or set(invariants) - set(get_args(Invariant)):
            raise ValueError(f"'invariants' must be distinct names out of {get_args(Invariant)}, got {invariants!r}")
        width = 1 if out_channels is None else out_channels
        check_whole(num_radial=num_radial, channels=channels, out_channels=width)
        check_whole(0, l_max=l_max)
        self.num_radial, self.channels, self.l_max = num_radial, channels, l_max
        self.invariants = tuple(invariants)
        self.contraction = Contraction(l_max)
        in_channels = num_radial + len(self.invariants) * (l_max + 1) * channels
        self.out_channels = in_channels if out_channels is None else out_channels
        self.config = {"out_channels": out_channels}  # as given, for files: the attribute is the width in any case
        self.mlp = None if out_channels is None else MLP([in_channels, out_channels], activate_last=True)

    def reset_parameters(self) -> None:
        """Draw new weights."""
        if self.mlp is not None:
            self.mlp.reset_parameters()

    def symmetry(self, density: Symmetry, radial: Symmetry, sphere: Symmetry) -> Symmetry:
        """Invariant when density and directions are equivariant and the distances invariant."""
        return nonlinear(radial, self.contraction.symmetry(density, sphere))

    def forward(
        self,
        density: NodeDensity | None,
        edge_index: Adjacency,
        radial: Float[Tensor, "edges radial"],
        sphere: Float[Tensor, "edges angular"] | None = None,
    ) -> Float[Tensor, "edges _"]:
        """Contract density with direction, then apply the network."""
        pairs = edge_pairs(edge_index)
        features: Tensor = self.edge_updater(pairs, density=density, radial=radial, sphere=sphere)  # type: ignore[operator]
        return features

    def edge_update(self, density_i: Tensor, density_j: Tensor, radial: Tensor, sphere: Tensor) -> Tensor:
        """RY_ij of the formula."""
        direction = sphere.unsqueeze(-1)  # (edges, angular, 1)
        pairs = {"receiver": (density_i, direction), "sender": (density_j, direction), "pair": (density_i, density_j)}
        products = [self.contraction(*pairs[name]).flatten(1).asinh() for name in self.invariants]
        features = torch.cat([radial, *products], dim=-1)
        return features if self.mlp is None else self.mlp(features)

    def __repr__(self) -> str:
        out_channels = None if self.mlp is None else self.out_channels
        return (
            f"{type(self).__name__}({self.num_radial}, {self.channels}, l_max={self.l_max}, "
            f"out_channels={out_channels}, invariants={self.invariants})"
        )


class RawFeatures(LearnedFeatures):
    r"""Learned features from the components of the spherical harmonics themselves: not invariant.

    .. math:: RY_{ij} = \mathrm{MLP}(b_{ij}, Y_{ij})

    A rotation of the molecule changes the components of :math:`Y_{ij}` (l >= 1) and so the features, and everything
    computed from them. Train with random rotations and average predictions over rotations if you use them; a potential
    accepts them only with ``symmetry="unconstrained"``.

    Args:
        num_radial: number of radial functions.
        l_max: largest degree of the spherical harmonics, at least 0.
        out_channels: width of the features.

    Shapes:
        ``edge_index`` ``(2, edges)``, ``radial`` ``(edges, radial)``, ``sphere`` ``(edges, angular)``; output
        ``(edges, out_channels)``. ``density`` (nodes, angular, channels) is not used.

    Units:
        none.

    Raises:
        ValueError: a width below 1.

    Source:
        own design: the literal reading of a network on directions, for comparison.

    Example:
        >>> import torch
        >>> edge_index = torch.tensor([[1, 0], [0, 1]])
        >>> RawFeatures(3, l_max=1, out_channels=5)(None, edge_index, torch.ones(2, 3), torch.ones(2, 4)).shape
        torch.Size([2, 5])
    """

    def __init__(self, num_radial: int, l_max: int, out_channels: int) -> None:
        super().__init__()
        check_whole(num_radial=num_radial, out_channels=out_channels)
        check_whole(0, l_max=l_max)
        self.num_radial, self.l_max, self.out_channels = num_radial, l_max, out_channels
        self.mlp = MLP([num_radial + (l_max + 1) ** 2, out_channels, out_channels], activate_last=True)

    def reset_parameters(self) -> None:
        """Draw new weights."""
        self.mlp.reset_parameters()

    def symmetry(self, density: Symmetry, radial: Symmetry, sphere: Symmetry) -> Symmetry:
        """Unconstrained as soon as the directions are not invariant."""
        return nonlinear(radial, sphere)

    def forward(
        self,
        density: NodeDensity | None,
        edge_index: Adjacency,
        radial: Float[Tensor, "edges radial"],
        sphere: Float[Tensor, "edges angular"] | None = None,
    ) -> Float[Tensor, "edges _"]:
        """Apply the network to distance and direction."""
        assert sphere is not None
        features: Tensor = self.mlp(torch.cat([radial, sphere], dim=-1))
        return features

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.num_radial}, l_max={self.l_max}, out_channels={self.out_channels})"


class RadialFeatures(LearnedFeatures):
    r"""Learned features from distances alone: the baseline that is blind to directions.

    .. math:: RY_{ij} = \mathrm{MLP}(b_{ij})

    Args:
        num_radial: number of radial functions.
        out_channels: width of the features.

    Shapes:
        ``edge_index`` ``(2, edges)``, ``radial`` ``(edges, radial)``; output ``(edges, out_channels)``. ``density``
        (nodes, angular, channels) and ``sphere`` are not used.

    Units:
        none.

    Raises:
        ValueError: a width below 1.

    Source:
        filter network of Schütt et al., NeurIPS 2017 (SchNet), arXiv:1706.08566, section 4.

    Example:
        >>> import torch
        >>> RadialFeatures(3, out_channels=5)(None, torch.tensor([[1, 0], [0, 1]]), torch.ones(2, 3)).shape
        torch.Size([2, 5])
    """

    def __init__(self, num_radial: int, out_channels: int) -> None:
        super().__init__()
        check_whole(num_radial=num_radial, out_channels=out_channels)
        self.num_radial, self.out_channels = num_radial, out_channels
        self.mlp = MLP([num_radial, out_channels, out_channels], activate_last=True)

    def reset_parameters(self) -> None:
        """Draw new weights."""
        self.mlp.reset_parameters()

    def symmetry(self, density: Symmetry, radial: Symmetry, sphere: Symmetry) -> Symmetry:
        """Symmetry of the distances."""
        return nonlinear(radial)

    def forward(
        self,
        density: NodeDensity | None,
        edge_index: Adjacency,
        radial: Float[Tensor, "edges radial"],
        sphere: Float[Tensor, "edges angular"] | None = None,
    ) -> Float[Tensor, "edges _"]:
        """Apply the network to the distance."""
        features: Tensor = self.mlp(radial)
        return features

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.num_radial}, out_channels={self.out_channels})"
