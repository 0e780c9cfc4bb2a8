"""Four replicas of ethanol at 300 K in one graph in TorchSim."""

from __future__ import annotations

import torch
import torch_sim

from pyg_mpnn.data import ethanol, to_atoms
from pyg_mpnn.engines import torchsim_model

model = torchsim_model("best.ckpt", compute_stress=False)
state = torch_sim.integrate(
    system=torch_sim.io.atoms_to_state([to_atoms(ethanol("test")[0])] * 4, torch.device("cpu"), torch.float64),
    model=model,
    integrator=torch_sim.nvt_langevin,
    n_steps=10,
    temperature=300,
    timestep=0.0005,
)
print("energies of the replicas:", state.energy.tolist(), "eV")
