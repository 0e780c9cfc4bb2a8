from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Data

from pyg_mpnn.inspection import check_neighbors


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
