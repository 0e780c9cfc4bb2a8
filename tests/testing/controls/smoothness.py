"""Faults at the cutoff: energies and forces that jump."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from pyg_mpnn.testing.healthy import Edges, Healthy, System
from tests.testing.controls.faults import CROSSING, ON_CUTOFF, blend


class ReferenceOfConnectedAtoms(Healthy):
    """Reference energies are added where there are neighbours only."""

    breaks = ("smoothness_single",)
    maybe: ClassVar[dict[str, str]] = {
        "isolated_atom": "fails if the expected energy is known: it is 0 alone and beside far others",
        "smoothness_crowd": "jumps if an atom loses all of its neighbours",
        **CROSSING,
    }

    def _atomic(self, s: System, e: Edges) -> Tensor:
        degree = self._sum(s, (e.sq.detach() < self.cutoff**2).to(e.sq))
        lost = (degree == 0.0) * self._reference(s).to(s.pos)
        return super()._atomic(s, e) - self.fault * lost


class HardCutoff(Healthy):
    """No cutoff function."""

    breaks = ("smoothness_single", "smoothness_crowd")
    maybe: ClassVar[dict[str, str]] = ON_CUTOFF

    def _cutoff(self, sq: Tensor) -> Tensor:
        return blend(super()._cutoff(sq), (sq < self.cutoff**2).to(sq), self.fault)


class LinearCutoff(Healthy):
    """A cutoff function with a kink at the cutoff."""

    breaks = ("smoothness_single", "smoothness_crowd")
    maybe: ClassVar[dict[str, str]] = CROSSING

    def _cutoff(self, sq: Tensor) -> Tensor:
        dist = torch.sqrt(sq + 1e-24)
        return blend(super()._cutoff(sq), torch.relu(1.0 - dist / self.cutoff), self.fault)


class CosineCutoffTwice(Healthy):
    """The cosine cutoff, whose second derivative jumps, in a model that declares two."""

    breaks = ("smoothness_single", "smoothness_crowd")

    def _cutoff(self, sq: Tensor) -> Tensor:
        inside = sq < self.cutoff**2
        angle = torch.sqrt(torch.where(inside, sq, 0.0) + 1e-24) * (math.pi / self.cutoff)
        return blend(super()._cutoff(sq), torch.where(inside, 0.5 * (torch.cos(angle) + 1.0), 0.0), self.fault)


class BiasOutsideCutoff(Healthy):
    """The bias of the last layer is added after the message was multiplied by the cutoff function."""

    breaks = ("smoothness_single", "smoothness_crowd")
    maybe: ClassVar[dict[str, str]] = ON_CUTOFF

    def _pair(self, s: System, e: Edges) -> Tensor:
        return super()._pair(s, e) + self.fault * 0.05 * (e.sq.detach() < self.cutoff**2)


class SoftmaxWithoutNobody(Healthy):
    """Attention over the neighbours that always sums to one: the last neighbour counts in full until it is gone."""

    breaks = ("smoothness_single",)
    maybe: ClassVar[dict[str, str]] = {"smoothness_crowd": "jumps if an atom loses all of its neighbours", **ON_CUTOFF}

    def _atomic(self, s: System, e: Edges) -> Tensor:
        score = e.weight * self._gauss(e.sq)
        total = self._sum(s, score)
        mean = self._sum(s, score * self.charge[s.z[s.source]]) / torch.where(total > 0.0, total, 1.0)
        return super()._atomic(s, e) + self.fault * 0.3 * mean


class MeanAggregation(Healthy):
    """Messages are averaged over the neighbours: each of them counts in the number as long as it is inside."""

    breaks = ("smoothness_single", "smoothness_crowd")
    maybe: ClassVar[dict[str, str]] = ON_CUTOFF

    def _density(self, s: System, e: Edges) -> Tensor:
        rho = super()._density(s, e)
        count = self._sum(s, (e.sq.detach() < self.cutoff**2).to(rho))
        return blend(rho, rho / count.clamp(min=1.0), self.fault)
