from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator

from pyg_mpnn.data import to_data
from pyg_mpnn.learning import Teacher, comparison
from pyg_mpnn.learning.comparison import errors_of_labels, mean_offset, seconds_of, spread_of
from tests.learning.in_process import InProcess
from tests.learning.test_selection import committee

TEACHERS = "tests.learning.teachers"


def pair(energy: float, force: float, stress: float | None = None) -> Atoms:
    atoms = Atoms("Cu2", positions=[[0, 0, 0], [0, 0, 2.5]], cell=[4, 4, 4], pbc=True)
    results = {"energy": energy, "forces": np.full((2, 3), force)}
    if stress is not None:
        results["stress"] = np.full(6, stress)
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def test_errors_are_those_of_the_labels() -> None:
    labelled = [pair(1.0, 0.1, 0.01), pair(2.0, 0.1, 0.01)]
    references = [to_data(pair(1.2, 0.2, 0.03)), to_data(pair(2.4, 0.4))]
    references[1].stress = torch.full((1, 3, 3), torch.nan, dtype=torch.float64)
    errors = errors_of_labels(labelled, references)
    assert errors.energy_mae_meV == pytest.approx(300.0)
    assert errors.energy_mae_meV_per_atom == pytest.approx(150.0)
    assert errors.forces_mae_meV_per_A == pytest.approx(200.0)
    assert errors.stress_mae_meV_per_A3 == pytest.approx(20.0)
    assert mean_offset(labelled, references) == pytest.approx(-150.0)


def test_label_without_a_stress_is_not_compared() -> None:
    errors = errors_of_labels([pair(1.0, 0.1), pair(2.0, 0.1, 0.01)], [to_data(pair(1.0, 0.1, 0.04))] * 2)
    assert errors.stress_mae_meV_per_A3 == pytest.approx(30.0)
    bare = to_data(pair(1.0, 0.1))
    del bare.energy
    assert errors_of_labels([pair(1.0, 0.1)], [bare]).energy_mae_meV is None
    assert mean_offset([pair(1.0, 0.1)], [bare]) is None


def test_spread_is_that_of_the_members() -> None:
    model, atoms = committee(), bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=0)
    of = [member(to_data(atoms)).forces.detach().double() for member in model.potentials]
    assert spread_of(model, [atoms]) == pytest.approx(1e3 * float(((of[0] - of[1]) ** 2 / 2).mean().sqrt()), rel=1e-4)


def test_time_is_of_the_calculator_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "Labeller", InProcess)
    copper = bulk("Cu", cubic=True)
    emt = Teacher("ase.calculators.emt:EMT")
    seconds, count = seconds_of(emt, [copper] * 3, tmp_path / "teacher.txt")
    assert 0 < seconds < 1
    assert count == 3
    with pytest.raises(ValueError, match="must have a label for a structure to be timed by"):
        seconds_of(Teacher(f"{TEACHERS}:Nan"), [copper], tmp_path / "teacher.txt")
