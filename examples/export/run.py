"""Energy, forces and stress from an exported potential: torch is all that is needed, pyg_mpnn is not.

python run.py potential.pt2 inputs.pt outputs.pt
"""

import os
import sys

os.environ["AOTI_RUNTIME_CHECK_INPUTS"] = "1"  # refuse tensors of another dtype or shape
import torch

package, inputs, outputs = sys.argv[1:]
potential = torch._inductor.aoti_load_package(package)
results = []
for z, pos, edge_index, shifts, cell, near in torch.load(inputs, weights_only=True):
    results.append(potential(z, pos, edge_index, shifts, cell, near))  # energy, forces, stress, atom energies
torch.save(results, outputs)
