from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms

from pyg_mpnn.learning import Teacher
from pyg_mpnn.learning.teacher import NoLabel, as_written, label


def copper() -> Atoms:
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=1)
    return atoms


def test_label_is_what_the_calculator_says() -> None:
    atoms = copper()
    found = label(Teacher("ase.calculators.emt:EMT").make(), atoms)
    assert atoms.calc is None
    atoms.calc = EMT()
    assert found.energy == atoms.get_potential_energy()
    assert np.array_equal(found.forces, atoms.get_forces())
    assert found.stress is not None
    assert np.array_equal(found.stress, atoms.get_stress())


def test_forces_of_fixed_atoms_are_not_zero() -> None:
    atoms = copper()
    atoms.set_constraint(FixAtoms([0]))
    assert abs(label(EMT(), atoms).forces[0]).max() > 0.01


class Bad(EMT):
    """What results become, and whether it is converged."""

    def __init__(self, change: Any = None, converged: bool = True, raises: bool = False) -> None:
        super().__init__()
        self.change, self.converged, self.raises = change, converged, raises

    def calculate(self, *args: Any) -> None:
        if self.raises:
            raise RuntimeError("no\n  luck")
        super().calculate(*args)
        if self.change:
            self.change(self.results)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (Bad(raises=True), "RuntimeError: no luck"),
        (Bad(converged=False), "not converged"),
        (Bad(lambda results: results.update(free_energy=float("nan"))), "energy is not finite"),
        (Bad(lambda results: results.update(forces=results["forces"] / 0.0)), "forces is not finite"),
        (Bad(lambda results: results.update(forces=results["forces"][:2])), r"forces have the shape \(2, 3\) for 4"),
        (Bad(lambda results: results.pop("forces")), "PropertyNotImplementedError: .*forces"),
    ],
    ids=["raises", "unconverged", "nan", "inf", "shape", "no forces"],
)
@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning", "ignore:invalid value:RuntimeWarning")
def test_what_is_no_label(bad: Bad, reason: str) -> None:
    with pytest.raises(NoLabel, match=reason):
        label(bad, copper())


def test_names_that_are_no_teacher(unchecked: None) -> None:
    with pytest.raises(ValueError, match=r"'teacher' must be package.module:Class or file.py:Class"):
        Teacher("EMT")
    with pytest.raises(ValueError, match=r"must be importable, got ModuleNotFoundError"):
        Teacher("no_such_package:EMT").make()
    with pytest.raises(ValueError, match=r"'teacher' must be made by its arguments, got of .*TypeError: .*nonsense"):
        Teacher("collections:Counter.fromkeys", {"nonsense": 1}).make()
    with pytest.raises(ValueError, match="'teacher' must be an ASE calculator, got OrderedDict"):
        Teacher("collections:OrderedDict").make()


def test_structure_as_written_has_no_more_digits_than_a_file() -> None:
    atoms = copper()
    atoms.set_momenta(np.ones((4, 3)))
    kept = as_written(atoms)
    assert set(kept.arrays) == {"numbers", "positions"}
    assert np.array_equal(kept.positions, atoms.positions.round(8))
    assert kept.pbc.all()
