"""A small message-passing model of atomic partial charges."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.utils import scatter

from pyg_mpnn.basis import BesselBasis, PolynomialCutoff
from pyg_mpnn.geometry import edge_vectors, neighbor_list
from pyg_mpnn.layers import AtomEmbedding, EdgeMLP, NodeUpdate


class ChargeModel(nn.Module):
    """Charges of the atoms, in e, and the dipole moment of each molecule, in e A."""

    def __init__(
        self, hidden_channels: int = 32, num_radial: int = 8, cutoff: float = 5.0, num_layers: int = 2
    ) -> None:
        super().__init__()
        self.embedding = AtomEmbedding(hidden_channels)
        self.radial, self.cutoff = BesselBasis(cutoff, num_radial), PolynomialCutoff(cutoff)
        self.edge_mlps = nn.ModuleList(
            EdgeMLP(hidden_channels, num_radial, hidden_channels, hidden_channels) for _ in range(num_layers)
        )
        self.updates = nn.ModuleList(NodeUpdate(hidden_channels, hidden_channels) for _ in range(num_layers))
        self.head = nn.Linear(hidden_channels, 1)

    def forward(self, z: Tensor, pos: Tensor, batch: Tensor, total_charge: Tensor) -> tuple[Tensor, Tensor]:
        """Charges (nodes,) that sum to ``total_charge`` (graphs,) in each molecule, and dipoles (graphs, 3)."""
        num_graphs = total_charge.shape[0]
        edge_index, _ = neighbor_list(pos, self.cutoff.cutoff, batch=batch, num_graphs=num_graphs)
        dist = torch.linalg.vector_norm(edge_vectors(pos, edge_index), dim=-1)
        edge_attr, envelope = self.radial(dist), self.cutoff(dist).unsqueeze(-1)
        x = self.embedding(z)
        for edge_mlp, update in zip(self.edge_mlps, self.updates, strict=True):
            x = update(x, edge_index, envelope * edge_mlp(x, edge_index, edge_attr))
        charges = self.head(x).squeeze(-1)
        missing = total_charge - scatter(charges, batch, dim_size=num_graphs, reduce="sum")
        charges = charges + (missing / torch.bincount(batch, minlength=num_graphs).clamp(min=1))[batch]
        return charges, scatter(charges.unsqueeze(-1) * pos, batch, dim_size=num_graphs, reduce="sum")
