r"""
Put a block into a PyTorch Geometric model
==========================================

The blocks are PyG layers: tensors in, tensors out, called as ``block(x, edge_index, edge_attr, ...)``. So they work
in places that were made for other layers.
"""

# %%
# Inside SchNet, in place of its convolution
# ------------------------------------------
#
# SchNet calls its convolution with the features of the atoms, the edges, their lengths and the lengths in a Gaussian
# basis. An :class:`~pyg_mpnn.layers.Interaction` takes the same, with the cutoff function in place of the length.

import torch
from torch import Tensor, nn
from torch_geometric.nn import SchNet, Sequential

from pyg_mpnn.basis import CosineCutoff
from pyg_mpnn.geometry import neighbor_list
from pyg_mpnn.layers import EdgeMLP, Interaction, Messages, NodeUpdate, RadialFeatures

torch.manual_seed(0)


class Convolution(nn.Module):
    """Our messages and node update with the call signature of SchNet's convolution."""

    def __init__(self, channels: int, num_radial: int, cutoff: float, edge_dim: int = 32) -> None:
        super().__init__()
        edge_mlp = EdgeMLP(channels, edge_dim, edge_dim, edge_dim)
        messages = Messages(RadialFeatures(num_radial, edge_dim), edge_mlp, num_radial)
        self.interaction, self.cutoff = Interaction(messages, NodeUpdate(channels, edge_dim)), CosineCutoff(cutoff)

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor, edge_attr: Tensor) -> Tensor:
        return self.interaction(x, edge_index, edge_attr, self.cutoff(edge_weight))[0]


def interaction_graph(pos: Tensor, batch: Tensor) -> tuple[Tensor, Tensor]:
    """Edges and lengths for SchNet from our neighbour list."""
    edge_index = neighbor_list(pos, 5.0, batch=batch).edge_index
    return edge_index, (pos[edge_index[0]] - pos[edge_index[1]]).norm(dim=-1)


schnet = SchNet(
    hidden_channels=64, num_interactions=2, num_gaussians=16, cutoff=5.0, interaction_graph=interaction_graph
)
for block in schnet.interactions:
    block.conv = Convolution(channels=64, num_radial=16, cutoff=5.0)

z = torch.tensor([8, 1, 1])
pos = torch.tensor([[0.0, 0.0, 0.12], [0.0, 0.76, -0.47], [0.0, -0.76, -0.47]], requires_grad=True)
energy = schnet(z, pos)
forces = -torch.autograd.grad(energy.sum(), pos)[0]
assert forces.abs().max() > 1e-4
assert forces.sum(dim=0).abs().max() < 1e-5
forces

# %%
# Inside Sequential
# -----------------
#
# Edge network and node update are layers of their own, next to PyG's or PyTorch's.

model = Sequential(
    "x, edge_index, edge_attr",
    [
        (EdgeMLP(16, edge_dim=8, hidden_channels=32, out_channels=32), "x, edge_index, edge_attr -> message"),
        (NodeUpdate(16, message_channels=32), "x, edge_index, message -> x"),
        (nn.Linear(16, 1), "x -> x"),
    ],
)
edge_index = torch.tensor([[1, 2, 0, 0], [0, 0, 1, 2]])
out = model(torch.randn(3, 16), edge_index, torch.randn(4, 8))
assert out.shape == (3, 1)
model
