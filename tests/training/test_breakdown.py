from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Data

from pyg_mpnn.training import Predictions
from pyg_mpnn.training.breakdown import Breakdown


@pytest.fixture
def parts() -> Breakdown:
    """Water and two hydrogen molecules; forces of the second one are unknown."""
    kinds = [([8, 1, 1], "liquid"), ([1, 1], "gas"), ([1, 1], "")]
    frames = [Data(z=torch.tensor(z), pos=torch.rand(len(z), 3), config_type=kind) for z, kind in kinds]
    reference = torch.ones(7, 3, dtype=torch.float64)
    reference[5:] = torch.nan
    wrong = torch.tensor([0.4, 0.1, 0.1, 0.2, 0.2, 9.0, 9.0], dtype=torch.float64)[:, None]
    energy = torch.tensor([-6.0, -2.0, -2.0], dtype=torch.float64)
    off = torch.tensor([0.3, -0.2, 0.4], dtype=torch.float64)
    return Breakdown(Predictions(torch.tensor([3, 2, 2]), energy + off, energy, reference + wrong, reference), frames)


def test_groups_have_their_own_errors(parts: Breakdown) -> None:
    hydrogen, oxygen = parts.by_element()
    assert (hydrogen.name, hydrogen.number, hydrogen.forces) == ("H", 6, pytest.approx(150.0))
    assert (oxygen.name, oxygen.forces, oxygen.relative) == ("O", pytest.approx(400.0), pytest.approx(0.4))
    first, second = parts.by_composition()
    assert (first.name, first.number, first.energy) == ("H2", 2, pytest.approx(150.0))
    assert (second.name, second.energy, second.forces) == ("H2O", pytest.approx(100.0), pytest.approx(200.0))
    assert {group.name: group.number for group in parts.by_kind()} == {"gas": 1, "liquid": 1, "not said": 1}
    assert sum(group.number for group in parts.by_force()) == 5


def test_no_kind_is_no_table(parts: Breakdown) -> None:
    for frame in parts.frames:
        frame.config_type = ""
    assert parts.by_kind() == []


def test_worst_are_those_of_forces_and_without_them_of_energies(parts: Breakdown) -> None:
    first, second, third = parts.worst()
    assert (first.place, first.atom, first.forces) == (0, 0, pytest.approx(400 * 3**0.5))
    assert (second.place, second.energy) == (1, pytest.approx(-100.0))
    assert (third.place, third.forces, third.energy) == (2, None, pytest.approx(200.0)), "without forces, by the energy"
    assert [worst.place for worst in parts.worst(2)] == [0, 2]
    assert len(parts.worst(3)) == 3, "one without forces leaves its places to those with forces"
    parts.forces = None
    assert [worst.place for worst in parts.worst(1)] == [2]
