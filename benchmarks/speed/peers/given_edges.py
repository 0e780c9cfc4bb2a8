"""Given edges for models that find theirs in a submodule and want a loop at every atom (ViSNet, TorchMD-Net)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks.speed.peers.work import Work


class EdgesWithLoops:
    """The given edges and, after them, the loops."""

    def __init__(self, work: Work) -> None:
        loops = torch.arange(len(work.z)).expand(2, -1)
        self.work = work
        self.edge_index = torch.cat([work.edge_index, loops], dim=1)
        self.zeros = torch.zeros(len(work.z), 3)


class GivenEdges(nn.Module):
    """Takes the place of the submodule; `edges` is set before every call."""

    edges: EdgesWithLoops

    def forward(self, pos: Tensor, batch: Tensor, box: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        vec = self.edges.work.edge_vec(pos)
        lengths = torch.linalg.vector_norm(vec, dim=-1)
        lengths, vec = torch.cat([lengths, self.edges.zeros[:, 0]]), torch.cat([vec, self.edges.zeros])
        return self.edges.edge_index, lengths, vec
