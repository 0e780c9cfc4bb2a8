"""Faults in cells: images, wrapping, the choice of the cell."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch_geometric.data import Batch

from pyg_mpnn.testing.healthy import Edges, Healthy, System
from tests.testing.controls.faults import fractional


class MinimumImage(Healthy):
    """Only the image in the half cell around the atom is kept, also where the cell is smaller than the cutoff."""

    breaks = ("supercell",)
    maybe: ClassVar[dict[str, str]] = {
        "cell_choice": "fails if a cell is skewed or small: the nearest by rounding is not the nearest",
        "no_truncation": "fails if the dense structure is a small periodic cell",
        **dict.fromkeys(("smoothness_single", "smoothness_crowd"), "jumps if an atom crosses half of a small cell"),
        **dict.fromkeys(("forces", "stress", "nve"), "fails if an atom crosses half of a small cell in the test"),
        **dict.fromkeys(
            ("translation", "rotation", "inversion", "atom_permutation", "wrapping", "momentum", "dtype"),
            "rounding decides where atoms are half a cell apart",
        ),
    }

    def _weight(self, s: System, vec: Tensor, sq: Tensor) -> Tensor:
        weight = super()._weight(s, vec, sq)
        if s.cell is None or s.pbc is None:
            return weight
        apart = s.pos.index_select(0, s.source) - s.pos.index_select(0, s.target)
        nearest = -torch.round(fractional(s, apart, s.batch[s.target]))
        return weight * torch.where((nearest == s.shifts).all(1), 1.0, 1.0 - self.fault)


class ShiftSign(Healthy):
    """Cell shifts are subtracted, as in the convention of another neighbour list."""

    breaks = ("supercell", "wrapping")
    maybe: ClassVar[dict[str, str]] = {
        "cell_choice": "fails if atoms are wrapped into the new cell",
        **dict.fromkeys(
            ("forces", "stress", "nve", "smoothness_single", "smoothness_crowd", "dtype", "no_truncation"),
            "periodic only: edges appear and vanish at the true cutoff, with wrong vectors well inside it",
        ),
        **dict.fromkeys(("translation", "inversion"), "fails if atoms are wrapped into the cell after the move"),
    }

    def _images(self, s: System) -> Tensor | float:
        return super()._images(s) * (1.0 - 2.0 * self.fault)


class WrappedAfterSearch(Healthy):
    """Atoms are wrapped into the cell after the neighbour search, whose shifts belong to the unwrapped ones."""

    breaks = ("wrapping",)
    maybe: ClassVar[dict[str, str]] = {
        "cell_choice": "fails if atoms lie outside the new cell",
        "translation": "fails if periodic atoms leave the cell",
        **dict.fromkeys(
            ("inversion", "rotation", "atom_permutation", "supercell", "batch_independence", "isolated_atom"),
            "fails if periodic atoms lie outside the cell before or after",
        ),
        **dict.fromkeys(
            ("forces", "stress", "nve", "smoothness_single", "smoothness_crowd", "dtype"),
            "jumps if an atom crosses a face of the cell",
        ),
    }

    def _vectors(self, s: System) -> Tensor:
        if s.cell is None or s.pbc is None:
            return super()._vectors(s)
        home = torch.floor(fractional(s, s.pos, s.batch) + 1e-7)
        moved = s.pos - self.fault * torch.einsum("na,nab->nb", home, s.cell[s.batch])
        return super()._vectors(s._replace(pos=moved))


class LatticeFeature(Healthy):
    """The lengths of the cell vectors are features of every atom."""

    breaks = ("cell_choice", "supercell")

    def _atomic(self, s: System, e: Edges) -> Tensor:
        atomic = super()._atomic(s, e)
        if s.cell is None or s.pbc is None:
            return atomic
        size = torch.tanh((s.cell.square().sum(2) * s.pbc).sum(1) / 100.0)
        return atomic + self.fault * 0.1 * size[s.batch] * torch.asinh(self._density(s, e))


class FirstImagesOnly(Healthy):
    """Images are searched in the 27 cells around the first, for atoms anywhere."""

    breaks = ("wrapping",)
    maybe: ClassVar[dict[str, str]] = {
        "supercell": "fails if the cell is so small that the cutoff reaches beyond the next cell",
        "cell_choice": "fails if the new cell is so skewed that the cutoff reaches beyond the next cell",
        "no_truncation": "fails if the dense structure is a small periodic cell",
        **dict.fromkeys(("translation", "inversion"), "fails if single atoms are wrapped into the cell after the move"),
    }

    def _weight(self, s: System, vec: Tensor, sq: Tensor) -> Tensor:
        return super()._weight(s, vec, sq) * torch.where((s.shifts.abs() <= 1).all(1), 1.0, 1.0 - self.fault)


class SkinForgetsCell(Healthy):
    """A neighbour list is kept until atoms have moved by half its skin; that the cell changed goes unnoticed."""

    continuous = False
    breaks = ("cell_choice",)
    maybe: ClassVar[dict[str, str]] = {
        **dict.fromkeys(("determinism", "supercell", "stress"), "fails if only the cell differs much between calls"),
        **dict.fromkeys(("rotation", "wrapping"), "fails if the atoms move by less than half the skin, 0.25 A"),
    }

    def __init__(self, fault: float = 1.0) -> None:
        super().__init__(fault)
        self.kept: tuple[Tensor, Tensor, tuple[Tensor, ...]] | None = None

    def _search(
        self, data: Batch, pos: Tensor, cell: Tensor | None, pbc: Tensor | None, cutoff: float
    ) -> tuple[Tensor, ...]:
        if self.fault == 0.0 or cell is None:
            return super()._search(data, pos, cell, pbc, cutoff)
        now = pos.detach().double().clone()
        if self.kept is not None and torch.equal(self.kept[1], data.batch):
            moved = (now - self.kept[0]).square().sum(1)
            if not bool((moved > 0.25**2).any()):
                return self.kept[2]
        self.kept = (now, data.batch.clone(), super()._search(data, pos, cell, pbc, cutoff + 0.5))
        return self.kept[2]
