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

_GRID = 2.0**20  # points per A


@law()
def translation(subject: Subject, structures: Sequence[Data]) -> list[Check]:
    """Energy and forces stay when everything is moved as a whole, by 10 A and, in double precision, by 1e6 A."""
    scale, checks = scales(subject, structures), []
    moves = {"10 A": [5.3, -11.7, 8.1]}
    if subject.input_dtype == torch.float64:
        moves["1e6 A"] = [1e6, -2e6, 1e6]
    for structure in structures:
        given = structure.clone()
        given.pos = (structure.pos * _GRID).round() / _GRID  # so that the sum of position and move is exact
        expected = subject.evaluate(given)
        for what, move in moves.items():
            moved = given.clone()
            moved.pos = given.pos + (torch.tensor(move, dtype=torch.float64) * _GRID).round() / _GRID
            checks += compare(subject, f"moved by {what}", subject.evaluate(moved), expected, scale)
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
