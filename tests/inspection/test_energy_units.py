from __future__ import annotations

import torch
from torch_geometric.data import Data

from pyg_mpnn.inspection import check_energy_units


def test_free_atoms_tell_the_unit(frames: list[Data]) -> None:
    found = check_energy_units(frames[:3])
    assert found.severity == "ok"
    assert 1.0 < found.numbers["ratio_to_free_atoms"] < 1.02


def test_binding_energies_are_not_told(copper: list[Data]) -> None:
    assert "as of binding energies" in check_energy_units(copper[:2]).finding
    far = copper[0].clone()
    far.energy = torch.tensor([-4000.0], dtype=torch.float64)
    assert check_energy_units([far]).finding.startswith("Cannot tell: -125 per atom")
