"""Structures for run.py and run.cpp, with their edges: the one step that this package does for an exported potential.

python write_inputs.py 5.0 structures.xyz
python write_inputs.py 3.0,5.0 structures.xyz

writes inputs.pt (all structures, for run.py) and structure.txt (the first, for run.cpp). First the cutoff of the
potential in A, or its cutoffs where it has several; structures are in any format that ASE reads. In a program of your
own any neighbour list will do that has all pairs within the largest cutoff in both directions; pairs beyond it change
nothing. The index lists are the pairs within each smaller cutoff, and of the others as many as make it two.
"""

import sys

import torch

from pyg_mpnn import RadiusGraph
from pyg_mpnn.data import read_structures
from pyg_mpnn.geometry import edge_vectors

*smaller, cutoff = [float(radius) for radius in sys.argv[1].split(",")]
inputs = []
for structure in read_structures(sys.argv[2], energy=False, forces=False):
    edges = RadiusGraph(cutoff)(structure)
    cell = edges.cell[0] if "cell" in edges else torch.eye(3, dtype=torch.float64)  # not used without shifts
    dist = edge_vectors(edges.pos, edges.edge_index, edges.shifts, cell).norm(dim=1)
    near = tuple(dist.argsort()[: max(2, int((dist < radius).sum()))].sort().values for radius in smaller)
    inputs.append((edges.z, edges.pos, edges.edge_index, edges.shifts, cell, near))
torch.save(inputs, "inputs.pt")

z, pos, edge_index, shifts, cell, near = inputs[0]
with open("structure.txt", "w") as out:
    print(len(z), edge_index.shape[1], file=out)
    for number, place in zip(z.tolist(), pos.tolist(), strict=True):
        print(number, *place, file=out)
    for pair, shift in zip(edge_index.T.tolist(), shifts.tolist(), strict=True):
        print(*pair, *shift, file=out)
    for vector in cell.tolist():
        print(*vector, file=out)
    for indices in near:
        print(len(indices), *indices.tolist(), file=out)
