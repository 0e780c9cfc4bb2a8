"""Structures for run.py and run.cpp, with their edges: the one step that this package does for an exported potential.

python write_inputs.py CUTOFF structures.xyz

writes inputs.pt (all structures, for run.py) and structure.txt (the first, for run.cpp). CUTOFF is that of the
potential in A; structures are in any format that ASE reads. In a program of your own any neighbour list will do that
has all pairs within the cutoff in both directions; pairs beyond it change nothing.
"""

import sys

import torch

from pyg_mpnn import RadiusGraph
from pyg_mpnn.data import read_structures

cutoff, file = sys.argv[1:]
inputs = []
for structure in read_structures(file, energy=False, forces=False):
    edges = RadiusGraph(float(cutoff))(structure)
    cell = edges.cell[0] if "cell" in edges else torch.eye(3, dtype=torch.float64)  # not used without shifts
    inputs.append((edges.z, edges.pos, edges.edge_index, edges.shifts.long(), cell))
torch.save(inputs, "inputs.pt")

z, pos, edge_index, shifts, cell = inputs[0]
with open("structure.txt", "w") as out:
    print(len(z), edge_index.shape[1], file=out)
    for number, place in zip(z.tolist(), pos.tolist(), strict=True):
        print(number, *place, file=out)
    for pair, shift in zip(edge_index.T.tolist(), shifts.tolist(), strict=True):
        print(*pair, *shift, file=out)
    for vector in cell.tolist():
        print(*vector, file=out)
