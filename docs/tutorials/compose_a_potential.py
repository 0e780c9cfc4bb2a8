r"""
Compose a potential in twenty lines
===================================

A potential is a PyTorch module that turns elements and positions into an energy; forces are its derivative. Here we
put one together from the blocks, train it for a few epochs on the ethanol sample that comes with the package, and
look at what it learned. The potentials that ship with the package, :class:`pyg_mpnn.models.Potential`, are made of
the same blocks.
"""

# %%
# The potential
# -------------
#
# Elements become vectors, distances a radial basis, directions spherical harmonics. The directional density sums the
# directions at each atom; each layer contracts it with the direction of an edge to invariants, makes messages from
# them, and updates the atoms. A small network then gives an energy for each atom, and their sum is the energy of the
# molecule.

import matplotlib.pyplot as plt
import torch
from torch import Tensor, nn
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader

from pyg_mpnn.basis import BesselBasis, DirectionalBasis, PolynomialCutoff
from pyg_mpnn.data import StructureDataset, ethanol
from pyg_mpnn.geometry import edge_vectors
from pyg_mpnn.layers import (
    AtomEmbedding,
    ContractedFeatures,
    DirectionalDensity,
    EdgeMLP,
    Interaction,
    Messages,
    NodeUpdate,
)
from pyg_mpnn.mlp import MLP
from pyg_mpnn.readout import SumReadout, energy_gradients

torch.manual_seed(0)
torch.set_num_threads(1)


class MyPotential(nn.Module):
    def __init__(self, cutoff=5.0, width=64, edge_dim=32, channels=8, l_max=2, num_radial=8, num_layers=2, nu=3.0):
        super().__init__()
        self.embedding = AtomEmbedding(width)
        self.radial, self.envelope = BesselBasis(cutoff, num_radial), PolynomialCutoff(cutoff)
        self.directions = DirectionalBasis(l_max)
        self.density = DirectionalDensity(width, channels, num_radial, l_max, nu)
        self.layers = nn.ModuleList()
        for _ in range(num_layers):
            features = ContractedFeatures(num_radial, channels, l_max, edge_dim)
            messages = Messages(features, EdgeMLP(width, edge_dim, edge_dim, edge_dim), num_radial, nu=nu)
            self.layers.append(Interaction(messages, NodeUpdate(width, edge_dim)))
        self.energy, self.readout = MLP([width, width, 1]), SumReadout()

    def forward(self, data: Batch) -> Tensor:
        edge_vec = edge_vectors(data.pos, data.edge_index)
        dist = torch.linalg.vector_norm(edge_vec, dim=-1)
        edges = (data.edge_index, self.radial(dist), self.envelope(dist), self.directions(edge_vec))
        x = self.embedding(data.z)
        density = self.density(x, edges[0], edges[1], edges[3], edges[2])
        for layer in self.layers:
            x, density = layer(x, *edges, density)
        return self.readout(self.energy(x), data.batch, dim_size=data.num_graphs).squeeze(-1)


model = MyPotential()
print(f"{sum(parameter.numel() for parameter in model.parameters()):,} parameters")

# %%
# The data
# --------
#
# Ethanol from revised MD17: 1000 structures to train and 1000 to test, read in eV and eV/Å. The dataset attaches the
# neighbour lists once. The energy of the molecule is learned relative to its mean over the training structures.

train_set = StructureDataset(ethanol("train")[:400], cutoff=5.0, dtype=torch.float32)
test_set = StructureDataset(ethanol("test")[:200], cutoff=5.0, dtype=torch.float32)
mean = torch.stack([frame.energy for frame in train_set]).mean()
scale = torch.cat([frame.forces for frame in train_set]).square().mean().sqrt()


def predict(batch: Batch) -> tuple[Tensor, Tensor]:
    batch.pos.requires_grad_()
    energy = scale * model(batch)
    return energy, energy_gradients(energy, batch.pos, create_graph=model.training)[0]


# %%
# Training
# --------
#
# A plain PyTorch loop: the loss compares forces, and energies with a small weight. `pyg-mpnn train` does this with
# validation, averaged weights and checkpoints.

epochs = 30
loader = DataLoader(train_set, batch_size=10, shuffle=True)
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=5e-3, total_steps=epochs * len(loader))
errors = []
for _ in range(epochs):
    total = 0.0
    for batch in loader:
        energy, forces = predict(batch)
        force_error, energy_error = forces - batch.forces, energy - (batch.energy - mean)
        loss = (force_error.square().mean() + 0.01 * energy_error.square().mean()) / scale**2
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
        schedule.step()
        total += 1000 * force_error.detach().abs().mean().item() / len(loader)
    errors.append(total)

# %%
# What it learned
# ---------------
#
# Predicted against true forces on structures that were not used in training, and how the error fell.

model.eval()
pairs = [(batch.forces, predict(batch)[1].detach()) for batch in DataLoader(test_set, batch_size=50)]
true, predicted = (torch.cat(parts) for parts in zip(*pairs, strict=True))
test_error = 1000 * (predicted - true).abs().mean().item()
trivial = 1000 * true.abs().mean().item()
print(f"test force MAE {test_error:.0f} meV/Å; predicting zero: {trivial:.0f} meV/Å")
assert test_error < trivial / 4

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
left.semilogy(range(1, epochs + 1), errors)
left.set(xlabel="epoch", ylabel="force MAE in training (meV/Å)")
right.plot(true.flatten(), predicted.flatten(), ".", markersize=2)
right.axline((0, 0), slope=1, color="black", linewidth=0.8)
right.set(xlabel="true force (eV/Å)", ylabel="predicted force (eV/Å)", title=f"test MAE {test_error:.0f} meV/Å")
plt.show()

# %%
# Only invariants enter the networks, so the energy does not change when the molecule is rotated or mirrored.

batch = next(iter(DataLoader(test_set, batch_size=1)))
model.double()
batch.pos = batch.pos.double()
energy = model(batch)
batch.pos = batch.pos @ torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64)).Q
assert torch.allclose(model(batch), energy, rtol=0, atol=1e-9)
