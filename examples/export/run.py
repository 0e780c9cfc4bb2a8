"""Energy, forces and stress from an exported potential: torch is all that is needed, pyg_mpnn is not.

python run.py potential.pt2 inputs.pt outputs.pt
"""

import os
import sys

os.environ["AOTI_RUNTIME_CHECK_INPUTS"] = "1"  # refuse tensors of another dtype, shape or layout
import torch

package, inputs, outputs = sys.argv[1:]
potential = torch._inductor.aoti_load_package(package)
results = []
for z, pos, edge_index, shifts, cell, near in torch.load(inputs, weights_only=True):
    # the package reads memory: whole numbers in int64, others in float64, row by row
    whole = [tensor.long().contiguous() for tensor in (z, edge_index, shifts, *near)]
    pos, cell = pos.double().contiguous(), cell.double().contiguous()
    z, edge_index, shifts, *near = whole
    results.append(potential(z, pos, edge_index, shifts, cell, tuple(near)))  # energy, forces, stress, atom energies
torch.save(results, outputs)
