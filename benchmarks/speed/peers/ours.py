"""Our potential, in its sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch_geometric.data import Batch

from benchmarks.speed.peers.adapter import Adapter, Evaluator
from benchmarks.speed.peers.work import Work
from pyg_mpnn import Potential, PotentialCalculator, neighbor_list


class Peer(Adapter):
    """`Potential.from_size`; compiled with `Potential.compile`; "low-memory" is `memory="low"`."""

    def __init__(self, cutoff: float, elements: Sequence[int], size: str, neighbors: float | None = None) -> None:
        super().__init__(cutoff, elements)
        self.size, self.mean_neighbors = size, neighbors

    def build(self, mode: str, train: bool) -> nn.Module:
        potential: Any = Potential.from_size(self.size, cutoff=self.cutoff)
        if self.mean_neighbors is not None:
            potential.set_reference(dict.fromkeys(self.elements, 0.0), 1.0, [self.mean_neighbors])
        potential.train(train).requires_grad_(train)
        return potential.compile("on") if mode == "compiled" else potential

    def evaluator(self, model: nn.Module, mode: str, work: Work) -> Evaluator:
        data = as_batch(work)
        options = {"memory": "low"} if mode == "low-memory" else {}

        def evaluate() -> Any:
            output = model(data, **options)
            return output.energy, output.forces

        return evaluate

    def calculator(self, mode: str) -> Any:
        return PotentialCalculator(self.build(mode, train=False))

    def neighbors(self, work: Work) -> Callable[[], Any]:
        return lambda: neighbor_list(work.pos, self.cutoff, batch=work.batch)


def as_batch(work: Work) -> Batch:
    """The work as a batch of PyG. A potential takes its edges only beside `shifts`."""
    data = Batch(z=work.z, pos=work.pos, batch=work.batch, ptr=work.ptr, _num_graphs=work.num_graphs)
    data.edge_index, data.shifts = work.edge_index, work.shifts
    if work.periodic:
        data.cell, data.pbc = work.cell[None], torch.ones(1, 3, dtype=torch.bool)
    return data
