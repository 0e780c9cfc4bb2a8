from __future__ import annotations

import numpy as np
import torch
from ase.build import bulk
from torch_geometric.data import Data

from pyg_mpnn.data import to_data
from pyg_mpnn.inspection import check_duplicates, check_outliers


def test_turned_and_reordered_copies_are_found(frames: list[Data]) -> None:
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64)).Q
    order = torch.randperm(9)
    copy = Data(z=frames[7].z[order], pos=(frames[7].pos @ turn + 1.0)[order], energy=frames[7].energy)
    found = check_duplicates([*frames[:20], copy], [copy, frames[30]])
    assert found.numbers["pairs_in_data"] == [(7, 20)]
    assert found.numbers["pairs_across"] in ([(7, 0)], [(20, 0)])
    moved = copy.clone()
    moved.pos = moved.pos + 2e-3 * torch.randn_like(moved.pos)
    assert check_duplicates([*frames[:20], moved]).severity == "ok", "control"


def test_twins_of_different_energy(frames: list[Data]) -> None:
    other = frames[2].clone()
    other.energy = other.energy + 1.0
    assert "1 frames have a twin of DIFFERENT ENERGY (frames 2 and 5)" in check_duplicates([*frames[:5], other]).finding


def test_strains_along_equivalent_axes_are_noted() -> None:
    crystals = []
    for axis in range(2):
        atoms = bulk("Cu", cubic=True)
        strain = np.eye(3)
        strain[axis, axis] = 1.01
        atoms.set_cell(atoms.cell.array @ strain, scale_atoms=True)
        data = to_data(atoms)
        data.energy = torch.zeros(1, dtype=torch.float64)
        crystals.append(data)
    found = check_duplicates(crystals)
    assert found.severity == "note"
    assert "1 crystals of the data equal another one of the data up to a rotation" in found.finding
    assert check_duplicates([crystals[0], crystals[0]]).severity == "warning"


def test_steep_places_are_only_noted(frames: list[Data]) -> None:
    steep = [frame.clone() for frame in frames]
    steep[5].energy, steep[5].forces = steep[5].energy + 20.0, steep[5].forces * 20
    found = check_outliers(steep)
    assert found.severity == "note"
    assert found.numbers["frames_with_odd_energy"] == [5]


def test_low_energies_are_never_steep(frames: list[Data]) -> None:
    deep = [frame.clone() for frame in frames]
    deep[5].energy, deep[5].forces = deep[5].energy - 20.0, deep[5].forces * 20
    assert "frame 5 (-2.2" in check_outliers(deep).finding


def test_few_frames(frames: list[Data]) -> None:
    assert check_outliers(frames[:19]).finding == "Cannot tell: 19 frames, 20 are needed."
