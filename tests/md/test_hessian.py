from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms

from pyg_mpnn import Potential, PotentialCalculator
from pyg_mpnn.md import hessian


def by_differences(potential: Potential, atoms: Atoms, step: float = 1e-3) -> np.ndarray:
    """Central differences of the forces, to fourth order in the step."""
    atoms = atoms.copy()
    atoms.calc = PotentialCalculator(potential, dtype=torch.float64)
    start, rows = atoms.positions.copy(), []

    def forces(shift: np.ndarray) -> np.ndarray:
        atoms.positions = start + shift
        return atoms.get_forces()

    for k in range(start.size):
        unit = np.zeros(start.size)
        unit[k] = step
        unit = unit.reshape(-1, 3)
        rows.append((forces(2 * unit) - forces(-2 * unit) - 8 * (forces(unit) - forces(-unit))) / (12 * step))
    return np.array(rows).reshape(*start.shape, *start.shape)


def test_of_morse_is_known(morse: Potential) -> None:
    """At the minimum 2 D a^2 along the bond, and at any distance the derivatives by hand."""
    depth, width, bond = morse.depth, morse.width, morse.bond
    for distance in (bond, 0.9):
        atoms = Atoms("H2", [[0, 0, 0], [0, 0, distance]])
        decay = np.exp(-width * (distance - bond))
        along = 2 * depth * width**2 * (2 * decay**2 - decay)
        across = 2 * depth * width * decay * (1 - decay) / distance
        one = np.diag([across, across, along])
        expected = np.block([[one, -one], [-one, one]]).reshape(2, 3, 2, 3)
        assert hessian(morse, atoms) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("kind", ["molecule", "crystal"])
def test_is_the_derivative_of_the_forces(
    kind: str, potential: Potential, request: pytest.FixtureRequest, unchecked: None
) -> None:
    atoms: Atoms = request.getfixturevalue(kind)
    found = hessian(potential, atoms)
    size = np.abs(found).max()
    assert size > 0.1  # eV/A^2: there is something to compare
    assert found == pytest.approx(by_differences(potential, atoms), abs=1e-7 * size)
    assert found == pytest.approx(found.transpose(2, 3, 0, 1), abs=1e-12 * size)
    assert found.sum(axis=2) == pytest.approx(0.0, abs=1e-11 * size)  # a translation costs nothing


def test_float32_potential_is_left_as_it_is(potential: Potential, molecule: Atoms) -> None:
    exact = hessian(potential.float(), molecule)
    assert potential.dtype == torch.float32
    assert exact == pytest.approx(hessian(potential.double(), molecule), abs=1e-12)


def test_atoms_without_neighbours_and_unknown_elements(potential: Potential) -> None:
    assert not hessian(potential, Atoms("H2", [[0, 0, 0], [0, 0, 50.0]])).any()
    with pytest.raises(ValueError, match="79"):
        hessian(potential, Atoms("Au2", [[0, 0, 0], [0, 0, 2.5]]))
