r"""
One of our layers in a graph that is no molecule
================================================

The layers know nothing of atoms. They take features of nodes, edges and features of edges. Here the nodes are towns,
the edges roads with a length, and the task is how many people can be reached from each town, where a person at
distance d counts :math:`e^{-d/d_0}`: Hansen's measure of accessibility (J. Am. Inst. Planners 25, 73 (1959)).
"""

# %%
# Data
# ----
#
# Towns at random in the plane, each joined to those within 0.25, with random numbers of people.

import matplotlib.pyplot as plt
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GCNConv
from torch_geometric.utils import scatter

from pyg_mpnn import EdgeMLP, GaussianBasis, Interaction, Messages, NodeUpdate, PolynomialCutoff, RadialFeatures
from pyg_mpnn.geometry import neighbor_list

torch.manual_seed(0)
RADIUS = 0.25


def region(towns: int = 60) -> Data:
    place, people = torch.rand(towns, 2), torch.rand(towns, 1)
    edge_index = neighbor_list(nn.functional.pad(place, (0, 1)), RADIUS).edge_index
    length = (place[edge_index[0]] - place[edge_index[1]]).norm(dim=1)
    reached = scatter(people[edge_index[0], 0] * torch.exp(-length / 0.08), edge_index[1], dim_size=towns)
    return Data(x=people, pos=place, edge_index=edge_index, length=length, y=reached)


train_set, test_set = [region() for _ in range(60)], [region() for _ in range(20)]


# %%
# Two networks
# ------------
#
# Two layers each and equally wide. Ours is :class:`pyg_mpnn.Interaction`: a message is a small network of both towns
# and of the length in a basis, and goes to zero at the radius. ``GCNConv`` sees who is joined to whom.


class Ours(nn.Module):
    def __init__(self, width: int = 32, num_radial: int = 8) -> None:
        super().__init__()
        self.start, self.end = nn.Linear(1, width), nn.Linear(width, 1)
        self.basis, self.envelope = GaussianBasis(RADIUS, num_radial), PolynomialCutoff(RADIUS)
        self.layers = nn.ModuleList(
            Interaction(
                Messages(RadialFeatures(num_radial, width), EdgeMLP(width, width, width, width), num_radial),
                NodeUpdate(width, width),
            )
            for _ in range(2)
        )

    def forward(self, data: Data) -> Tensor:
        x, radial, envelope = self.start(data.x), self.basis(data.length), self.envelope(data.length)
        for layer in self.layers:
            x, _ = layer(x, data.edge_index, radial, envelope)
        return self.end(x).squeeze(-1)


class Plain(nn.Module):
    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.start, self.end = nn.Linear(1, width), nn.Linear(width, 1)
        self.layers = nn.ModuleList(GCNConv(width, width) for _ in range(2))

    def forward(self, data: Data) -> Tensor:
        x = self.start(data.x)
        for layer in self.layers:
            x = x + layer(x, data.edge_index).relu()
        return self.end(x).squeeze(-1)


def error(model: nn.Module) -> float:
    with torch.no_grad():
        return torch.cat([(model(data) - data.y).abs() for data in test_set]).mean().item()


curves = {}
for model in (Ours(), Plain()):
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    curve = curves[type(model).__name__] = []
    for _ in range(25):
        for batch in DataLoader(train_set, batch_size=6, shuffle=True):
            optimizer.zero_grad()
            (model(batch) - batch.y).square().mean().backward()
            optimizer.step()
        curve.append(error(model))
spread = torch.cat([data.y for data in test_set]).std().item()
print(
    f"mean absolute error: ours {curves['Ours'][-1]:.3f}, GCNConv {curves['Plain'][-1]:.3f};",
    f"spread of the data {spread:.3f}",
)
assert curves["Ours"][-1] < curves["Plain"][-1] / 2

# %%
# That is what the lengths are worth, no verdict on ``GCNConv``, which was not made for them.

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
left.semilogy(curves["Ours"], label="Interaction")
left.semilogy(curves["Plain"], label="GCNConv")
left.set(xlabel="epoch", ylabel="mean absolute error of the test regions")
left.legend()
data = test_set[0]
right.plot(*data.pos[data.edge_index].permute(2, 0, 1), color="lightgrey", linewidth=0.5, zorder=0)
dots = right.scatter(*data.pos.T, s=10 + 80 * data.x[:, 0], c=data.y)
figure.colorbar(dots, label="people in reach")
right.set(title="a test region; size: people", xticks=[], yticks=[], aspect="equal")
plt.show()
