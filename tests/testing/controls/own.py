"""Broken variants written with sight of the laws, for what the independent ones leave out."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch_geometric.data import Batch

from pyg_mpnn.testing.healthy import Edges, Healthy, System
from tests.testing.controls.numerics import ChebyshevByArccos, DropoutAlwaysOn, RunningMean
from tests.testing.controls.separation import (
    AttentionZeroByZero,
    BatchCentroid,
    MeanReadout,
    NeighboursAcrossGraphs,
    NodesCountedFromEdges,
)
from tests.testing.controls.smoothness import (
    BiasOutsideCutoff,
    HardCutoff,
    LinearCutoff,
    MeanAggregation,
    ReferenceOfConnectedAtoms,
    SoftmaxWithoutNobody,
)
from tests.testing.controls.symmetry import (
    AbsolutePositions,
    NeighbourSlots,
    PositionalEncoding,
    UnsymmetricHalfList,
)


class NormOfZero(Healthy):
    """The length of a vector feature by a bare square root, whose slope at zero is infinite."""

    continuous = False
    breaks = ("symmetric_sites",)

    def _atomic(self, s: System, e: Edges) -> Tensor:
        atomic = super()._atomic(s, e)
        if self.fault == 0.0:
            return atomic
        return atomic + self.fault * 0.1 * torch.sqrt(self._moments(s, e)[:, :3].square().sum(1))


class GuardedNorm(Healthy):
    """The same with a tiny number under the root: finite, but the force jumps where the vector changes sign."""

    breaks = ("symmetric_sites",)

    def _atomic(self, s: System, e: Edges) -> Tensor:
        length = torch.sqrt(self._moments(s, e)[:, :3].square().sum(1) + 1e-24)
        return super()._atomic(s, e) + self.fault * 0.1 * length


class LateJump(Healthy):
    """A table that ends before the cutoff."""

    breaks = ("smoothness_single",)
    maybe: ClassVar[dict[str, str]] = {
        **dict.fromkeys(("smoothness_crowd", "no_truncation", "symmetric_sites"), "only where a pair crosses its end"),
        **dict.fromkeys(("forces", "stress", "nve"), "only where a pair crosses its end during the test"),
    }

    def _pair(self, s: System, e: Edges) -> Tensor:
        return super()._pair(s, e) + self.fault * 0.05 * e.weight * (e.sq.detach() < 2.93**2)


class AlwaysPeriodic(Healthy):
    """The cell is taken as periodic in all directions, whatever the structure says."""

    continuous = False
    breaks = ("supercell",)

    def _edges(self, data: Batch, pos: Tensor, cell: Tensor | None, pbc: Tensor | None) -> tuple[Tensor, ...]:
        if self.fault > 0.0 and pbc is not None:
            pbc = pbc | pbc.any(dim=1, keepdim=True)
        return super()._edges(data, pos, cell, pbc)


class HeadOfNobody(Healthy):
    """The network's last layer has a bias: atoms without neighbours have an energy beside that of their element."""

    breaks = ("isolated_energy",)

    def _atomic(self, s: System, e: Edges) -> Tensor:
        return super()._atomic(s, e) + self.fault * 0.3


class HoleAtTheCore(Healthy):
    """Nothing has taught the model that atoms repel: below half of a bond length they attract."""

    breaks = ("repulsion",)

    def _pair(self, s: System, e: Edges) -> Tensor:
        return super()._pair(s, e) - self.fault * 40.0 * e.weight * torch.exp(-e.sq / 0.15)


OWN: tuple[type[Healthy], ...] = (NormOfZero, GuardedNorm, LateJump, AlwaysPeriodic, HeadOfNobody, HoleAtTheCore)

_RENUMBERED = "the dense structure is renumbered too"
_CROSSES = "other pairs cross the cutoff on the way through the dense structure"
_LATER = "compares results of several calls, as the laws that were on the list; this law was added later"
_ALONE = {"isolated_energy": "changes atoms with one neighbour or none; this law was added later"}
_NEAR = {"repulsion": "changes several structures in one call, or very near atoms; this was added later"}
CORRECTIONS: dict[type[Healthy], dict[str, str]] = {
    PositionalEncoding: {"no_truncation": _RENUMBERED},
    UnsymmetricHalfList: {"no_truncation": _RENUMBERED, "dtype": "the weight of an edge is made in float32"},
    NeighbourSlots: {"no_truncation": _RENUMBERED},
    HardCutoff: {"no_truncation": _CROSSES, **_ALONE},
    BiasOutsideCutoff: {"no_truncation": _CROSSES, **_ALONE},
    MeanAggregation: {"no_truncation": _CROSSES},
    DropoutAlwaysOn: {"symmetric_sites": _LATER, "isolated_energy": _LATER, **_NEAR},
    RunningMean: {"symmetric_sites": _LATER, "isolated_energy": _LATER, **_NEAR},
    **dict.fromkeys(
        (AbsolutePositions, BatchCentroid, MeanReadout, NodesCountedFromEdges, AttentionZeroByZero), _ALONE
    ),
    **dict.fromkeys((ReferenceOfConnectedAtoms, LinearCutoff, SoftmaxWithoutNobody), _ALONE),
    **dict.fromkeys((NeighboursAcrossGraphs, ChebyshevByArccos), _NEAR),
}
"""Laws that independent models break besides the forecast of their author, with the reason: they may pass or fail."""
