"""Given edges for models that find theirs in a submodule and want a loop at every atom (ViSNet, TorchMD-Net)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks.speed.peers.work import Work


class EdgesWithLoops:
    """The given edges and, after them, the loops."""

    def __init__(self, work: Work) -> None:
        loops = torch.arange(len(work.z)).expand(2, -1)
        self.edge_index = torch.cat([work.edge_index, loops], dim=1)
        self.shift_vec = torch.cat([work.shift_vec, torch.zeros(len(work.z), 3)])
        self.count = work.edge_index.shape[1]


class GivenEdges(nn.Module):
    """Takes the place of the submodule; `edges` is set before every call."""

    edges: EdgesWithLoops

    def forward(self, pos: Tensor, batch: Tensor, box: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        source, target = self.edges.edge_index
        vec = pos[source] - pos[target] + self.edges.shift_vec
        lengths = torch.linalg.vector_norm(vec[: self.edges.count], dim=-1)
        return self.edges.edge_index, torch.cat([lengths, lengths.new_zeros(len(pos))]), vec
