"""SchNet of PyG, with the given edges through its hook `interaction_graph`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import SchNet

from benchmarks.speed.peers.adapter import Adapter, Evaluator, with_gradient
from benchmarks.speed.peers.work import Work


class Peer(Adapter):
    """PyG's defaults (128 channels, 6 interactions, 50 Gaussians); compiled: `torch.compile` of the energies."""

    def build(self, mode: str, train: bool) -> nn.Module:
        model = SchNet(cutoff=self.cutoff, interaction_graph=GivenEdges())
        model.train(train).requires_grad_(train)
        if mode == "compiled":
            model.compile(dynamic=False)
        return model

    def evaluator(self, model: Any, mode: str, work: Work) -> Evaluator:
        def evaluate() -> tuple[Tensor, Tensor]:
            model.interaction_graph.work = work
            return with_gradient(lambda pos: model(work.z, pos, work.batch), work.pos, model.training)

        return evaluate


class GivenEdges(nn.Module):
    """Stands for PyG's `RadiusInteractionGraph`, which needs pyg-lib to find edges."""

    work: Work

    def forward(self, pos: Tensor, batch: Tensor) -> tuple[Tensor, Tensor]:
        return self.work.edge_index, torch.linalg.vector_norm(self.work.edge_vec(pos), dim=-1)
