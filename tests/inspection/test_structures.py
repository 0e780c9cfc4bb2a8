from __future__ import annotations

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from pyg_mpnn.data import to_atoms
from pyg_mpnn.inspection import check_composition, check_distances, check_neighbors


def test_one_molecule_has_rank_one(frames: list[Data], copper: list[Data]) -> None:
    found = check_composition(frames[:2])
    assert found.severity == "note"
    assert found.numbers["rank"] == 1
    assert found.numbers["elements"] == ["H", "C", "O"]
    assert found.numbers["compositions"] == {"C2H6O": 2}
    both = check_composition([frames[0], copper[0]])
    assert both.numbers["rank"] == 2
    assert "2 structures (1 periodic) of 9 to 32 atoms, 2 compositions" in both.finding


def test_shortest_distances_are_those_of_ase(copper: list[Data]) -> None:
    found = check_distances(copper[:5])
    expected = [to_atoms(frame).get_all_distances(mic=True) for frame in copper[:5]]
    smallest = [matrix[~np.eye(len(matrix), dtype=bool)].min() for matrix in expected]
    assert found.numbers["shortest_A"] == {"Cu-Cu": pytest.approx(min(smallest))}
    assert found.numbers["in_frame"] == {"Cu-Cu": int(np.argmin(smallest))}


def test_nanometres_and_single_atoms(copper: list[Data]) -> None:
    small = copper[0].clone()
    small.pos, small.cell = 0.5 * small.pos, 0.5 * small.cell
    assert "a unit longer than A" in check_distances([small]).finding
    atom = Data(z=torch.tensor([6]), pos=torch.zeros(1, 3))
    assert check_distances([atom]).finding == "No two bonding atoms are within 6 A of each other."


def test_counts_are_those_of_the_lattice(copper: list[Data]) -> None:
    found = check_neighbors([copper[0]], [2.9, 3.9])  # 12 nearest at 2.55 A, 6 more at 3.61 A
    assert found.numbers["mean"] == pytest.approx([12.0, 18.0], abs=0.5)
    assert found.severity == "ok"


def test_atoms_without_neighbours() -> None:
    far = Data(z=torch.tensor([1, 1]), pos=torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 9.0]]))
    assert check_neighbors([far], [5.0]).severity == "note"
    far.forces = torch.ones(2, 3)
    found = check_neighbors([far], [5.0])
    assert found.severity == "warning"
    assert "the data up to 1.7 eV/A" in found.finding
