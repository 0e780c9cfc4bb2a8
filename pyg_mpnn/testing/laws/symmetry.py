"""Laws of symmetry: where the structure is, how it is turned, how atoms and edges are numbered."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_mpnn.geometry import neighbor_list
from pyg_mpnn.testing.law import law
from pyg_mpnn.testing.probes import compare, scales
from pyg_mpnn.testing.result import Check
from pyg_mpnn.testing.subject import Evaluation, Subject


@law()
def translation(subject: Subject, structures: Sequence[Data]) -> list[Check]:
    """Energy and forces stay when everything is moved as a whole, by about 10 A."""
    scale, checks = scales(subject, structures), []
    for structure in structures:
        moved = structure.clone()
        moved.pos = structure.pos + torch.tensor([5.3, -11.7, 8.1], dtype=torch.float64)
        checks += compare(subject, "moved", subject.evaluate(moved), subject.evaluate(structure), scale)
    return checks


@law("invariance")
def rotation(subject: Subject, structures: Sequence[Data]) -> list[Check]:
    """Energy stays, forces turn along when the structure is rotated."""
    matrices = [torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))[0] for _ in range(2)]
    return _turned(subject, structures, "rotated", [matrix * torch.linalg.det(matrix) for matrix in matrices])


@law("invariance")
def inversion(subject: Subject, structures: Sequence[Data]) -> list[Check]:
    """Energy stays, forces change sign when the structure is inverted: mirror images have one energy."""
    return _turned(subject, structures, "inverted", [-torch.eye(3, dtype=torch.float64)])


@law()
def atom_permutation(subject: Subject, structures: Sequence[Data]) -> list[Check]:
    """Other numbers for the atoms renumber the forces and change nothing else."""
    scale, checks = scales(subject, structures), []
    for structure in structures:
        expected = subject.evaluate(structure)
        for _ in range(2):
            order = torch.randperm(len(structure.z))
            permuted = structure.clone()
            permuted.z, permuted.pos = structure.z[order], structure.pos[order]
            wanted = expected._replace(forces=expected.forces[order])
            checks += compare(subject, "renumbered", subject.evaluate(permuted), wanted, scale)
    return checks


@law("edges", "cutoff")
def edge_permutation(subject: Subject, structures: Sequence[Data]) -> list[Check]:
    """The order of an edge list that comes with the structure changes nothing, nor does finding it oneself."""
    scale, checks = scales(subject, structures), []
    for structure in structures:
        given = structure.clone()
        pos = structure.pos.to(subject.dtype)
        edges = neighbor_list(pos, subject.cutoffs[-1], cell=structure.get("cell"), pbc=structure.get("pbc"))
        given.edge_index, given.shifts = edges
        expected = subject.evaluate(given)
        order = torch.randperm(edges.edge_index.shape[1])
        shuffled = given.clone()
        shuffled.edge_index, shuffled.shifts = edges.edge_index[:, order], edges.shifts[order]
        checks += compare(subject, "shuffled", subject.evaluate(shuffled), expected, scale)
        checks += compare(subject, "own edges", subject.evaluate(structure), expected, scale)
    return checks


def _turned(subject: Subject, structures: Sequence[Data], what: str, matrices: Sequence[Tensor]) -> list[Check]:
    scale, checks = scales(subject, structures), []
    for structure in structures:
        expected = subject.evaluate(structure)
        for matrix in matrices:
            turned = structure.clone()
            turned.pos = structure.pos @ matrix.T
            if "cell" in structure:
                turned.cell = structure.cell @ matrix.T
            wanted = Evaluation(expected.energy, expected.forces @ matrix.T, None)
            checks += compare(subject, what, subject.evaluate(turned), wanted, scale)
    return checks
