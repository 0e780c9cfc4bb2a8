from __future__ import annotations

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from pyg_mpnn.data import to_atoms
from pyg_mpnn.inspection import check_distances


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
