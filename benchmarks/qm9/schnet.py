"""PyG's SchNet on given edges, as the representation of a property model: same data, reference, loss and readout."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.nn.models import SchNet

CUTOFF = 10.0  # A; its published setting for QM9, as are the widths, blocks and Gaussians that PyG has by default


class SchNetRepresentation(nn.Module):
    """Embedding and six interaction blocks; its last two layers are those of our head (SiLU for shifted softplus)."""

    symmetry, num_layers, cutoff = "invariant", 1, CUTOFF

    def __init__(self) -> None:
        super().__init__()
        self.schnet = SchNet(cutoff=CUTOFF)
        self.out_channels = int(self.schnet.hidden_channels)
        del self.schnet.lin1, self.schnet.lin2

    def forward(self, z: Tensor, edge_index: Tensor, edge_vec: Tensor) -> list[Tensor]:
        dist = torch.linalg.vector_norm(edge_vec, dim=1)
        h, edge_attr = self.schnet.embedding(z), self.schnet.distance_expansion(dist)
        for interaction in self.schnet.interactions:
            h = h + interaction(h, edge_index, dist, edge_attr)
        return [h]
