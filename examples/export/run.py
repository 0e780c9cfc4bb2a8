"""Energy, forces and stress from an exported potential: torch is all that is needed, pyg_mpnn is not.

python run.py potential.pt2 inputs.pt outputs.pt
"""

import os
import sys

os.environ["AOTI_RUNTIME_CHECK_INPUTS"] = "1"  # refuse tensors of another dtype, shape or layout
import torch
from torch._inductor.codecache import get_device_information

package, inputs, outputs = sys.argv[1:]
# torch itself only warns where the code is for another processor, which it may end by an illegal instruction
made_on = torch._C._aoti.AOTIModelPackageLoader.load_metadata_from_package(package, "model")
here = get_device_information(made_on["AOTI_DEVICE_KEY"])
if unlike := [f"{name} {made_on[name]} (here {here[name]})" for name in here if made_on.get(name) != here[name]]:
    sys.exit(f"{package} was made for another machine: {', '.join(unlike)}. Export the potential on this one.")
potential = torch._inductor.aoti_load_package(package)
results = []
for z, pos, edge_index, shifts, cell, near in torch.load(inputs, weights_only=True):
    # the package reads memory: whole numbers in int64, others in float64, row by row
    whole = [tensor.long().contiguous() for tensor in (z, edge_index, shifts, *near)]
    pos, cell = pos.double().contiguous(), cell.double().contiguous()
    z, edge_index, shifts, *near = whole
    results.append(potential(z, pos, edge_index, shifts, cell, tuple(near)))  # energy, forces, stress, atom energies
torch.save(results, outputs)
