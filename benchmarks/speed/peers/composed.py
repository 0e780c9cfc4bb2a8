"""Published architectures from our blocks: the files of examples/architectures."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from benchmarks.speed.peers.adapter import Adapter, Evaluator
from benchmarks.speed.peers.ours import as_batch
from benchmarks.speed.peers.work import Work
from pyg_mpnn import PotentialCalculator, neighbor_list

FOLDER = Path(__file__).resolve().parents[3] / "examples" / "architectures"


class Peer(Adapter):
    """`potential()` of the file, sizes as the original's; compiled with `Potential.compile`."""

    def __init__(self, cutoff: float, elements: Sequence[int], name: str) -> None:
        super().__init__(cutoff, elements)
        sys.path.insert(0, str(FOLDER))
        self.module = importlib.import_module(name)

    def build(self, mode: str, train: bool) -> nn.Module:
        potential: Any = self.module.potential(cutoff=self.cutoff)
        potential.train(train).requires_grad_(train)
        return potential.compile("on") if mode == "compiled" else potential

    def evaluator(self, model: nn.Module, mode: str, work: Work) -> Evaluator:
        data = as_batch(work)

        def evaluate() -> Any:
            output = model(data)
            return output.energy, output.forces

        return evaluate

    def calculator(self, mode: str) -> Any:
        return PotentialCalculator(self.build(mode, train=False))

    def neighbors(self, work: Work) -> Callable[[], Any]:
        return lambda: neighbor_list(work.pos, self.cutoff, batch=work.batch)
