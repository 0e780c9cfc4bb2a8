"""Energy, forces and stress from an exported potential: torch is all that is needed, pyg_mpnn is not.

python run.py potential.pt2 inputs.pt outputs.pt
"""

import sys

import torch

package, inputs, outputs = sys.argv[1:]
potential = torch._inductor.aoti_load_package(package)
results = []
for z, pos, edge_index, shifts, cell in torch.load(inputs, weights_only=True):
    results.append(potential(z, pos, edge_index, shifts, cell, ()))  # energy, forces, stress, atom energies
torch.save(results, outputs)
