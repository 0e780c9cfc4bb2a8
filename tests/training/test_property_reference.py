from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pyg_mpnn.data import QM9
from pyg_mpnn.training.property_reference import design_matrix, fit_property_reference

FOLDER = Path(__file__).parents[1] / "data" / "assets" / "qm9"


@pytest.mark.parametrize("kind", ["extensive", "intensive", "spatial_extent"])
def test_numbers_of_the_elements_are_found_again(kind):
    molecules = QM9(FOLDER)[:]
    numbers = {1: 0.3, 6: 2.0, 7: -1.0, 8: 4.0, 9: 0.5}
    matrix = design_matrix(molecules, kind, list(numbers))
    noise = 1e-6 * np.random.default_rng(0).standard_normal(len(molecules))
    for molecule, value in zip(molecules, matrix @ np.array(list(numbers.values())) + noise, strict=True):
        molecule.target = torch.tensor([value])
    found, spread = fit_property_reference(molecules, kind, [5.0])
    assert found.energies == pytest.approx(numbers, abs=1e-4)
    assert spread == pytest.approx(1e-6, rel=0.3)
    assert found.rank == found.num_elements == 5


def test_dipole_has_no_numbers():
    found, spread = fit_property_reference(QM9(FOLDER, "mu")[:], "dipole", [5.0])
    assert set(found.energies.values()) == {0.0}
    assert spread == pytest.approx(QM9(FOLDER, "mu").values.square().mean().sqrt().item())
    assert 0.05 < found.scale < 2.0


def test_nothing_to_learn_is_an_error():
    molecules = QM9(FOLDER)[:5]
    for molecule in molecules:
        molecule.target = torch.tensor([float(len(molecule.z))])
    with pytest.raises(ValueError, match=r"'frames' must differ in their targets"):
        fit_property_reference(molecules, "extensive", [5.0])
