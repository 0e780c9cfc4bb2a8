"""What a worker is given: structures with edges, as tensors, read from a file of `benchmarks.speed.works`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Work:
    """Structures in one graph, float32. Edges are sorted by target; both directions of every pair are there."""

    z: Tensor  # (nodes,)
    pos: Tensor  # (nodes, 3), A
    batch: Tensor  # (nodes,)
    edge_index: Tensor  # (2, edges), source first
    shifts: Tensor  # (edges, 3), whole cells from source to its image
    shift_vec: Tensor  # (edges, 3), the same in A: vector of an edge = pos[source] + shift_vec - pos[target]
    cell: Tensor  # (3, 3), rows; zero where nothing is periodic
    energy: Tensor  # (graphs,), eV, mean taken away; zero where unknown
    forces: Tensor  # (nodes, 3), eV/A; zero where unknown

    @property
    def num_graphs(self) -> int:
        return len(self.energy)

    @property
    def periodic(self) -> bool:
        return bool(self.cell.any())

    @property
    def ptr(self) -> Tensor:
        """First atom of every structure, and their number."""
        return torch.cat([torch.zeros(1, dtype=torch.long), self.batch.bincount(minlength=self.num_graphs).cumsum(0)])

    def edge_vec(self, pos: Tensor) -> Tensor:
        """Vectors from target to source for these positions."""
        source, target = self.edge_index
        return pos[source] - pos[target] + self.shift_vec

    def displaced(self, distance: Tensor) -> Work:
        """The same edges, atoms moved by (nodes, 3)."""
        return replace(self, pos=self.pos + distance)

    def with_edge_changed(self) -> Work:
        """The first edge replaced by a copy of the second: a peer that finds edges itself does not see this."""
        columns = {"edge_index": self.edge_index.clone(), "shifts": self.shifts.clone()}
        columns["shift_vec"] = self.shift_vec.clone()
        columns["edge_index"][:, 0] = self.edge_index[:, 1]
        columns["shifts"][0], columns["shift_vec"][0] = self.shifts[1], self.shift_vec[1]
        return replace(self, **columns)


def load(path: str | Path) -> Work:
    """Read a work."""
    with np.load(path) as arrays:
        return Work(**{name: torch.from_numpy(arrays[name]) for name in arrays.files})
