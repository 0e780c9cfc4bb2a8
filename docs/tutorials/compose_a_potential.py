r"""
Compose a potential in forty lines
==================================

A potential turns elements and positions into an energy; forces are its derivative. Here we put one together from the
blocks, train it for a few epochs on the ethanol sample that comes with the package, and look at what it learned. The
potentials that ship with the package are made of the same blocks, see :class:`pyg_mpnn.models.MPNN`.
"""

# %%
# The potential
# -------------
#
# Elements become vectors, distances a radial basis, directions spherical harmonics. The directional density sums the
# directions at each atom; each layer contracts it with the direction of an edge to invariants, makes messages from
# them, and updates the atoms. ``nu`` divides each sum over neighbours, here by a rough number of them; a model without
# ``set_neighbors`` sets it itself.

import matplotlib.pyplot as plt
import torch
from torch import Tensor, nn
from torch_geometric.loader import DataLoader

from pyg_mpnn import (
    AtomEmbedding,
    BesselBasis,
    ContractedFeatures,
    DirectionalBasis,
    DirectionalDensity,
    EdgeMLP,
    Interaction,
    Messages,
    NodeUpdate,
    PolynomialCutoff,
    Potential,
)
from pyg_mpnn.basis import Symmetry
from pyg_mpnn.data import StructureDataset, ethanol, fit_reference

torch.manual_seed(0)
torch.set_num_threads(1)


class MyRepresentation(nn.Module):
    cutoff, out_channels, num_layers = 5.0, 64, 2

    def __init__(self, edge_dim: int = 32, channels: int = 8, l_max: int = 2, num_radial: int = 8, nu: float = 3.0):
        super().__init__()
        self.edge_dim, self.channels, self.l_max = edge_dim, channels, l_max  # what a file says of it
        self.num_radial, self.nu = num_radial, nu
        self.embedding = AtomEmbedding(self.out_channels)
        self.radial, self.envelope = BesselBasis(self.cutoff, num_radial), PolynomialCutoff(self.cutoff)
        self.directions = DirectionalBasis(l_max)
        self.density = DirectionalDensity(self.out_channels, channels, num_radial, l_max, nu)
        self.layers = nn.ModuleList()
        for _ in range(self.num_layers):
            features = ContractedFeatures(num_radial, channels, l_max, edge_dim)
            messages = Messages(features, EdgeMLP(self.out_channels, edge_dim, edge_dim, edge_dim), num_radial, nu=nu)
            self.layers.append(Interaction(messages, NodeUpdate(self.out_channels, edge_dim)))

    @property
    def symmetry(self) -> Symmetry:  # of the node features, as the blocks propagate it
        x, sphere = self.embedding.symmetry, self.directions.symmetry
        density = self.density.symmetry(x, "invariant", sphere)
        for layer in self.layers:
            x, density = layer.symmetry(x, "invariant", sphere, density)
        return x

    def forward(self, z: Tensor, edge_index: Tensor, edge_vec: Tensor) -> list[Tensor]:
        dist = torch.linalg.vector_norm(edge_vec, dim=-1)
        radial, envelope, sphere = self.radial(dist), self.envelope(dist), self.directions(edge_vec)
        x, features = self.embedding(z), []
        density = self.density(x, edge_index, radial, sphere, envelope)
        for layer in self.layers:
            x, density = layer(x, edge_index, radial, envelope, sphere, density)
            features.append(x)
        return features


# %%
# :class:`~pyg_mpnn.models.Potential` adds the rest: neighbour lists, a small network that makes an energy of each
# atom's features, their sum, forces and stress.

potential = Potential(MyRepresentation())
print(f"{sum(parameter.numel() for parameter in potential.parameters()):,} parameters")

# %%
# The data
# --------
#
# Ethanol from revised MD17, in eV and eV/Å. The dataset attaches the neighbour lists once. The reference energy of each
# element and the size of the forces are fitted to the training structures, so the network learns small numbers.

train_frames, test_frames = ethanol("train")[:400], ethanol("test")[:200]
reference = fit_reference(train_frames, [potential.cutoff])
potential.set_reference(reference.energies, reference.scale)
train_set, test_set = (StructureDataset(frames, potential.cutoff) for frames in (train_frames, test_frames))

# %%
# Training
# --------
#
# A plain PyTorch loop: the loss compares forces, and energies with a small weight. ``pyg-mpnn train`` does this with
# validation, averaged weights and checkpoints.

epochs = 20
loader = DataLoader(train_set, batch_size=10, shuffle=True)
optimizer = torch.optim.Adam(potential.parameters())
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=5e-3, total_steps=epochs * len(loader))
errors = []
for _ in range(epochs):
    total = 0.0
    for batch in loader:
        energy, forces, *_ = potential(batch)
        force_error, energy_error = forces - batch.forces, energy - batch.energy
        loss = (force_error.square().mean() + 0.01 * energy_error.square().mean()) / reference.scale**2
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(potential.parameters(), 10.0)
        optimizer.step()
        schedule.step()
        total += 1000 * force_error.detach().abs().mean().item() / len(loader)
    errors.append(total)

# %%
# What it learned
# ---------------
#
# How the error fell, and predicted against true forces on structures that were not used in training.

potential.eval()
pairs = [(batch.forces, potential(batch).forces) for batch in DataLoader(test_set, batch_size=50)]
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
# Only invariants enter the networks, so the energy does not change when the molecule is rotated or mirrored, and the
# forces turn with it.

potential.double()
z, pos = test_frames[0].z, test_frames[0].pos
orthogonal = torch.linalg.qr(torch.randn(3, 3, dtype=pos.dtype)).Q
before, after = potential(z, pos), potential(z, pos @ orthogonal)
torch.testing.assert_close(after.energy, before.energy, rtol=0, atol=1e-8)
torch.testing.assert_close(after.forces, before.forces @ orthogonal, rtol=0, atol=1e-8)
