from __future__ import annotations

from typing import Any

import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator

from pyg_mpnn.learning.probe import judge_probe, probe_line, probe_start
from pyg_mpnn.learning.teacher import label
from pyg_mpnn.units import BOHR, HARTREE
from tests.learning.teachers import Wrong


def labelled(atoms: Atoms, calculator: Any) -> Atoms:
    found = label(calculator, atoms)
    atoms.calc = SinglePointCalculator(atoms, energy=found.energy, forces=found.forces)
    return atoms


def noise_of(**options: float) -> float:
    calculator = Wrong(**options)
    first, moved = (labelled(atoms, calculator) for atoms in probe_start(bulk("Cu", cubic=True), 0))
    return judge_probe(first, moved, [labelled(atoms, calculator) for atoms in probe_line(first)])


def test_exact_forces_have_no_noise() -> None:
    assert noise_of() < 1e-5


def test_noise_is_found() -> None:
    assert noise_of(noise=0.01) == pytest.approx(0.01, rel=0.6)


@pytest.mark.parametrize(
    ("factor", "why"),
    [
        (-1.0, "the forces have the wrong sign"),
        (BOHR / HARTREE, "energies in eV beside forces in hartree/bohr"),
        (BOHR, "energies in hartree beside forces in hartree/bohr"),
        (1.2, "a ratio of 0.83"),
    ],
)
def test_forces_that_are_no_gradient_are_refused(factor: float, why: str) -> None:
    with pytest.raises(ValueError, match=rf"'teacher' must have forces that are minus the gradient.*{why}"):
        noise_of(factor=factor)
