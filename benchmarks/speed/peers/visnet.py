"""ViSNet of PyG, with the given edges in place of its module `Distance`."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch_geometric.nn import ViSNet

from benchmarks.speed.peers.adapter import Adapter, Evaluator, with_gradient
from benchmarks.speed.peers.given_edges import EdgesWithLoops, GivenEdges
from benchmarks.speed.peers.work import Work


class Peer(Adapter):
    """PyG's defaults (128 channels, 6 layers, 8 heads, lmax 1); compiled: `torch.compile` of the energies."""

    def build(self, mode: str, train: bool) -> nn.Module:
        model = ViSNet(cutoff=self.cutoff)
        model.representation_model.distance = GivenEdges()
        model.train(train).requires_grad_(train)
        if mode == "compiled":
            model.compile(dynamic=False)
        return model

    def evaluator(self, model: Any, mode: str, work: Work) -> Evaluator:
        edges = EdgesWithLoops(work)

        def evaluate() -> tuple[Tensor, Tensor]:
            model.representation_model.distance.edges = edges
            return with_gradient(lambda pos: model(work.z, pos, work.batch)[0], work.pos, model.training)

        return evaluate
