"""A layer, a basis and an output of one's own, for the page beside it and for ``pyg-mpnn train``."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

from pyg_mpnn import Output
from pyg_mpnn.basis import RadialBasis, Symmetry
from pyg_mpnn.layers import ends
from pyg_mpnn.models import Features
from pyg_mpnn.scatter import scatter_sum


class Convolution(MessagePassing):
    def __init__(self, channels: int = 64, num_radial: int = 8) -> None:
        super().__init__(aggr="sum", node_dim=0)
        self.channels, self.num_radial = channels, num_radial  # a file describes the layer by them
        self.filter = nn.Sequential(nn.Linear(num_radial, channels), nn.SiLU(), nn.Linear(channels, channels))
        self.update_mlp = nn.Sequential(nn.Linear(channels, channels), nn.SiLU(), nn.Linear(channels, channels))
        self.register_buffer("neighbors", torch.ones(()))

    def forward(self, x, edge_index, radial, envelope, sphere, density):
        source, target = ends(x)  # one tensor, or a pair with ghost atoms and memory="low"
        weight = self.filter(radial) * envelope.unsqueeze(-1)
        total = self.propagate(edge_index, x=(source, target), weight=weight, size=(source.shape[0], target.shape[0]))
        return target + self.update_mlp(total / self.neighbors), ends(density)[1]

    def message(self, x_j: Tensor, weight: Tensor) -> Tensor:
        return x_j * weight

    def symmetry(self, x: Symmetry, radial: Symmetry, sphere: Symmetry, density: Symmetry) -> tuple[Symmetry, Symmetry]:
        return x, density  # it reads no directions

    def set_neighbors(self, counts: list[float]) -> None:  # the mean number of neighbours, from the training data
        self.neighbors.fill_(counts[0])

    def reset_parameters(self) -> None:
        super().reset_parameters()
        for linear in (*self.filter[::2], *self.update_mlp[::2]):
            linear.reset_parameters()


class Chebyshev(RadialBasis):
    def forward(self, dist: Tensor) -> Tensor:
        x = (2 * dist / self.cutoff - 1).clamp(-1, 1)
        values = [torch.ones_like(x), x]
        while len(values) < self.num_radial:
            values.append(2 * x * values[-1] - values[-2])
        return torch.stack(values[: self.num_radial], dim=-1)


class Gyration(Output):
    level, shape, symmetry, extensive, unit = "structure", (), "invariant", False, "A"

    def build(self, representation: nn.Module) -> None:
        self.mlp = nn.Sequential(nn.Linear(representation.out_channels, 32), nn.SiLU(), nn.Linear(32, 1))

    def reset_parameters(self) -> None:
        for linear in self.mlp[::2]:
            linear.reset_parameters()

    def forward(self, features: Features, structure) -> Tensor:
        values = self.mlp(features.x[-1]).squeeze(-1).double()
        total = scatter_sum(
            torch.stack([values, torch.ones_like(values)], dim=-1), structure.batch, structure.num_graphs
        )
        return total[:, 0] / total[:, 1]
