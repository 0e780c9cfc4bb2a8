r"""
Your own block, basis and output
================================

Three classes, one potential of them, trained, saved and loaded like ours. The same classes in a file are flags of
``pyg-mpnn train`` (:doc:`/own_parts`).
"""

# %%
# A layer
# -------
#
# A layer of :class:`pyg_mpnn.models.MPNN` is called with the features of the atoms, the edges, their radial functions,
# the cutoff function and the directions, and returns new features. This one is the convolution of SchNet, written with
# PyG's ``MessagePassing``. Two things make it safe: messages are multiplied by the cutoff function, so that nothing
# jumps when a neighbour comes or goes, and ``size`` is given, so that atoms without neighbours are kept.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

from pyg_mpnn import Output, Potential
from pyg_mpnn.basis import RadialBasis, Symmetry
from pyg_mpnn.data import ethanol
from pyg_mpnn.models import MPNN, Features
from pyg_mpnn.scatter import scatter_sum
from pyg_mpnn.training import TrainingSettings, train

torch.manual_seed(0)


class Convolution(MessagePassing):
    def __init__(self, channels: int = 64, num_radial: int = 8) -> None:
        super().__init__(aggr="sum", node_dim=0)
        self.channels, self.num_radial = channels, num_radial  # a file describes the layer by them
        self.filter = nn.Sequential(nn.Linear(num_radial, channels), nn.SiLU(), nn.Linear(channels, channels))
        self.update_mlp = nn.Sequential(nn.Linear(channels, channels), nn.SiLU(), nn.Linear(channels, channels))
        self.register_buffer("neighbors", torch.ones(()))

    def forward(self, x, edge_index, radial, envelope, sphere, density):
        weight = self.filter(radial) * envelope.unsqueeze(-1)
        total = self.propagate(edge_index, x=x, weight=weight, size=(len(x), len(x)))
        return x + self.update_mlp(total / self.neighbors), density

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


# %%
# A basis
# -------
#
# It maps distances to ``num_radial`` functions. Here Chebyshev polynomials of the distance.


class Chebyshev(RadialBasis):
    def forward(self, dist: Tensor) -> Tensor:
        x = (2 * dist / self.cutoff - 1).clamp(-1, 1)
        values = [torch.ones_like(x), x]
        while len(values) < self.num_radial:
            values.append(2 * x * values[-1] - values[-2])
        return torch.stack(values[: self.num_radial], dim=-1)


dist = torch.linspace(0.01, 4.0, 200)
plt.figure(figsize=(6, 3), layout="constrained")
plt.plot(dist, Chebyshev(4.0, 6)(dist))
plt.xlabel("distance (Å)")
plt.show()


# %%
# An output
# ---------
#
# The radius of gyration, as an example of a quantity of a structure that is neither an energy nor made of one. What it
# is called in the structures is its name in the model.


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


def gyration(pos: Tensor) -> Tensor:
    return (pos - pos.mean(dim=0)).square().sum(dim=1).mean().sqrt().reshape(1)


# %%
# The potential
# -------------

representation = MPNN(
    cutoff=4.0,
    hidden_channels=64,
    num_radial=8,
    directions="radial",
    basis=Chebyshev,
    layers=[Convolution(64, 8), Convolution(64, 8)],
)
potential = Potential(representation, outputs={"gyration": Gyration()})

frames = ethanol("train")[:200]
for frame in frames:
    frame.gyration = gyration(frame.pos)
folder = Path(tempfile.mkdtemp())
settings = TrainingSettings(
    data="ethanol with radii of gyration", out=f"{folder}/own", epochs=8, batch_size=4, valid_size=40, compile="off"
)
result = train(settings, potential, frames=frames)

# %%
# Loaded again. A file says what it is made of by name; your code runs only where you trust it.

trusted = [Convolution, Chebyshev, Gyration]
loaded = Potential.load(folder / "own/best.ckpt", trust=trusted)
test = ethanol("test")[:50]
true = torch.cat([gyration(frame.pos) for frame in test])
predicted = torch.cat([loaded(frame).gyration for frame in test]).detach()
print(f"radius of gyration: MAE {(predicted - true).abs().mean():.4f} Å, spread {true.std():.4f} Å")

# %%
# Energies do not change when the molecule turns, to rounding in float64. ``pyg-mpnn check --model own/best.ckpt
# --trust my_parts.py`` holds it to all :doc:`laws </laws>`.

loaded.double()
z, pos = test[0].z, test[0].pos
orthogonal = torch.linalg.qr(torch.randn(3, 3, dtype=pos.dtype)).Q
torch.testing.assert_close(loaded(z, pos @ orthogonal).energy, loaded(z, pos).energy, rtol=0, atol=1e-8)
