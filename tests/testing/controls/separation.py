"""Faults of separation: structures of a batch, sizes, isolated atoms and lost neighbours."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch_geometric.data import Batch

from pyg_mpnn.testing.healthy import Edges, Healthy, System
from tests.testing.controls.faults import CROSSING, PERIODIC, atom_counts, blend, rank_neighbours


class BatchCentroid(Healthy):
    """Distance from the centre as a feature, the centre taken over the whole batch."""

    breaks = ("batch_independence", "size_extensivity", "isolated_atom", "wrapping", "supercell")
    maybe: ClassVar[dict[str, str]] = {"cell_choice": "fails if atoms are wrapped into the new cell"}

    def _atomic(self, s: System, e: Edges) -> Tensor:
        radius = (s.pos - s.pos.mean(0)).square().sum(1)
        return super()._atomic(s, e) + self.fault * 0.3 * torch.tanh(radius / 30.0)


class BatchNormalized(Healthy):
    """Batch normalisation that takes its statistics from the atoms of the call, in evaluation too."""

    breaks = ("batch_independence", "size_extensivity")
    maybe: ClassVar[dict[str, str]] = {"isolated_atom": "fails if the far others have neighbours among themselves"}

    def _density(self, s: System, e: Edges) -> Tensor:
        rho = super()._density(s, e)
        return blend(rho, (rho - rho.mean()) * torch.rsqrt(rho.var(unbiased=False) + 0.1), self.fault)


class LastGraphLost(Healthy):
    """The number of structures is taken from the last atom: empty structures at the end vanish."""

    continuous = False
    breaks = ("batch_independence",)

    def _readout(self, s: System, atomic: Tensor) -> Tensor:
        energy = super()._readout(s, atomic)
        return energy if self.fault == 0.0 else energy[: int(s.batch.max()) + 1 if s.batch.numel() else 0]


class NeighboursAcrossGraphs(Healthy):
    """The neighbour search forgets the batch: atoms of different structures see each other."""

    breaks = ("batch_independence",)

    def _edges(self, data: Batch, pos: Tensor, cell: Tensor | None, pbc: Tensor | None) -> tuple[Tensor, ...]:
        source, target, shifts = super()._edges(data, pos, cell, pbc)
        if self.fault == 0.0:
            return source, target, shifts
        near = (pos.detach().unsqueeze(0) - pos.detach().unsqueeze(1)).square().sum(2) < self.cutoff**2
        across = (near & (data.batch.unsqueeze(0) != data.batch.unsqueeze(1))).nonzero()
        zeros = shifts.new_zeros(across.shape[0], 3)
        return torch.cat((source, across[:, 0])), torch.cat((target, across[:, 1])), torch.cat((shifts, zeros))

    def _weight(self, s: System, vec: Tensor, sq: Tensor) -> Tensor:
        across = s.batch[s.source] != s.batch[s.target]
        return super()._weight(s, vec, sq) * torch.where(across, self.fault, 1.0)


class GraphSizeNorm(Healthy):
    """Node features are divided by the square root of the number of atoms."""

    breaks = ("size_extensivity", "supercell")
    maybe: ClassVar[dict[str, str]] = {"isolated_atom": "fails if the far others have neighbours among themselves"}

    def _density(self, s: System, e: Edges) -> Tensor:
        rho = super()._density(s, e)
        return blend(rho, rho * torch.rsqrt(atom_counts(s)[s.batch]), self.fault)


class MeanReadout(Healthy):
    """The energy of a structure is the mean over its atoms."""

    breaks = ("size_extensivity", "supercell", "isolated_atom")

    def _readout(self, s: System, atomic: Tensor) -> Tensor:
        total = super()._readout(s, atomic)
        return blend(total, total / atom_counts(s).double().clamp(min=1.0), self.fault)


class NodesCountedFromEdges(Healthy):
    """The number of atoms is taken from the largest index in the edge list: isolated atoms at the end vanish."""

    breaks = ("batch_independence",)
    maybe: ClassVar[dict[str, str]] = {
        "isolated_atom": "alone it has no energy; seen if a reference is known or if it stands before the far others",
        "size_extensivity": "fails if the first fragment is a single atom",
        "atom_permutation": "fails if the structure has an isolated atom",
        "smoothness_single": "jumps by the reference energy if the last atom loses its last neighbour",
        "smoothness_crowd": "jumps by the reference energy if the last atom loses its last neighbour",
        "nve": "jumps if the last atom flies away",
    }

    def _readout(self, s: System, atomic: Tensor) -> Tensor:
        total = self._reference(s) + atomic.double()
        last = int(torch.maximum(s.source.max(), s.target.max())) if s.source.numel() else -1
        lost = torch.arange(total.shape[0], device=total.device) > last
        total = total * torch.where(lost, 1.0 - self.fault, 1.0)
        return total.new_zeros(s.num_graphs).index_add(0, s.batch, total)


class AttentionZeroByZero(Healthy):
    """Attention weights are divided by their sum and the result scaled back: 0 / 0 for an atom without neighbours."""

    continuous = False
    breaks = ("isolated_atom", "batch_independence")
    maybe: ClassVar[dict[str, str]] = dict.fromkeys(
        ("size_extensivity", "smoothness_single", "smoothness_crowd", "no_truncation", "nve"),
        "not a number where an atom has no neighbour",
    )

    def _density(self, s: System, e: Edges) -> Tensor:
        rho = super()._density(s, e)
        if self.fault == 0.0:
            return rho
        total = self._sum(s, e.weight * self._gauss(e.sq))
        return blend(rho, rho / total * total, self.fault)


class FirstNeighbours(Healthy):
    """Each atom keeps the first 32 neighbours of its list, a default that nobody looked at."""

    breaks = ("no_truncation",)
    maybe: ClassVar[dict[str, str]] = {
        **dict.fromkeys(("atom_permutation", "edge_permutation", *PERIODIC), "fails with more than 32 neighbours"),
        **dict.fromkeys(("smoothness_single", "smoothness_crowd"), "jumps if a neighbour leaves and another moves up"),
        **CROSSING,
    }

    def _weight(self, s: System, vec: Tensor, sq: Tensor) -> Tensor:
        rank = rank_neighbours(torch.zeros_like(s.target), s.target)
        return super()._weight(s, vec, sq) * torch.where(rank < 32, 1.0, 1.0 - self.fault)


class NearestNeighbours(Healthy):
    """Each atom keeps its nearest 50 neighbours."""

    breaks = ("no_truncation",)
    maybe: ClassVar[dict[str, str]] = {
        **dict.fromkeys(("smoothness_single", "smoothness_crowd"), "jumps if the 51st neighbour overtakes the 50th"),
        **dict.fromkeys(("forces", "stress", "nve"), "fails if the 51st neighbour overtakes the 50th in the test"),
        **dict.fromkeys(
            ("translation", "rotation", "atom_permutation", "edge_permutation", *PERIODIC, "dtype"),
            "rounding or order decide between the 50th and the 51st at the same distance",
        ),
    }

    def _weight(self, s: System, vec: Tensor, sq: Tensor) -> Tensor:
        rank = rank_neighbours(sq.detach(), s.target)
        return super()._weight(s, vec, sq) * torch.where(rank < 50, 1.0, 1.0 - self.fault)
