from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.optimize import BFGS
from ase.vibrations import Vibrations

from pyg_mpnn.md import NormalModes, normal_modes


def spring(first: np.ndarray, second: np.ndarray, stiffness: float) -> np.ndarray:
    """Hessian block of a spring at its rest length."""
    axis = (second - first) / np.linalg.norm(second - first)
    return stiffness * np.outer(axis, axis)


def springs(atoms: Atoms, pairs: list[tuple[int, int, float]]) -> np.ndarray:
    matrix = np.zeros((len(atoms), 3, len(atoms), 3))
    for i, j, stiffness in pairs:
        block = spring(atoms.positions[i], atoms.positions[j], stiffness)
        matrix[i, :, i] += block
        matrix[j, :, j] += block
        matrix[i, :, j] -= block
        matrix[j, :, i] -= block
    return matrix


def wavenumber(stiffness: float, mass: float) -> float:
    """In cm^-1, from SI constants alone."""
    omega = np.sqrt(stiffness * units._e * 1e20 / (mass * units._amu))
    return float(omega / (2 * np.pi * units._c * 100))


def test_linear_triatomic_has_its_textbook_frequencies() -> None:
    """CO2 of two equal springs: k/m_O (symmetric) and k (1/m_O + 2/m_C) (antisymmetric); the bends are free here."""
    atoms = Atoms("OCO", [[0, 0, -1.16], [0, 0, 0], [0, 0, 1.16]])
    modes = normal_modes(atoms, springs(atoms, [(0, 1, 100.0), (1, 2, 100.0)]))
    carbon, oxygen = 12.011, 15.999
    assert modes.num_whole == 5
    assert len(modes.energies) == 4
    expected = [wavenumber(100.0, oxygen), wavenumber(100.0, 1 / (1 / oxygen + 2 / carbon))]
    assert modes.frequencies_cm[2:] == pytest.approx(expected, rel=1e-6)
    assert np.abs(modes.frequencies_cm[:2]).max() < 1e-3
    assert modes.zero_point_energy == pytest.approx(0.5 * sum(expected) * units.invcm, rel=1e-6)


def test_modes_move_no_centre_of_mass_and_turn_nothing() -> None:
    atoms = molecule("H2O")
    modes = normal_modes(atoms, springs(atoms, [(0, 1, 50.0), (0, 2, 50.0), (1, 2, 10.0)]))
    assert modes.num_whole == 6
    assert modes.displacements.shape == (3, 3, 3)
    momenta = atoms.get_masses()[:, None] * modes.displacements
    assert momenta.sum(axis=1) == pytest.approx(0.0, abs=1e-12)
    arms = atoms.positions - atoms.get_center_of_mass()
    assert np.cross(arms, momenta).sum(axis=1) == pytest.approx(0.0, abs=1e-12)
    assert (modes.displacements**2).sum(axis=(1, 2)) == pytest.approx(1.0)


def test_rotation_of_the_molecule_changes_nothing() -> None:
    atoms = molecule("CH3OH")
    pairs = [(i, j, 30.0 / atoms.get_distance(i, j) ** 4) for i in range(6) for j in range(i)]
    before = normal_modes(atoms, springs(atoms, pairs)).frequencies_cm
    atoms.rotate(40, (1, 2, 3))
    assert normal_modes(atoms, springs(atoms, pairs)).frequencies_cm == pytest.approx(before, rel=1e-9)


def test_agrees_with_ase(tmp_path: Path) -> None:
    """ASE's own vibrations by finite differences, of a crystal and of a tetrahedron in ASE's potential for metals."""
    crystal = bulk("Cu", cubic=True)
    cluster = Atoms("Cu4", 0.9 * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]))
    for atoms in (crystal, cluster):
        atoms.calc = EMT()
        BFGS(atoms, logfile=None).run(fmax=1e-5)
        vibrations = Vibrations(atoms, delta=0.005, nfree=4, name=str(tmp_path / str(atoms.pbc.all())))
        vibrations.run()
        data = vibrations.get_vibrations()
        modes = normal_modes(atoms, data.get_hessian())
        expected = data.get_energies().real[modes.num_whole :]
        assert modes.num_whole == (3 if atoms.pbc.all() else 6)
        assert modes.energies == pytest.approx(expected, abs=2e-5)
        assert modes.whole_cm < 10  # finite differences: not zero


def test_a_maximum_has_an_imaginary_frequency() -> None:
    atoms = Atoms("H2", [[0, 0, 0], [0, 0, 0.74]])
    modes = normal_modes(atoms, -springs(atoms, [(0, 1, 36.0)]))
    assert modes.num_imaginary == 1
    assert modes.frequencies_cm == pytest.approx([-wavenumber(36.0, 1.008 / 2)], rel=1e-6)
    assert modes.zero_point_energy == 0.0


def test_asymmetry_is_told() -> None:
    atoms = Atoms("H2", [[0, 0, 0], [0, 0, 0.74]])
    matrix = springs(atoms, [(0, 1, 36.0)])
    matrix[0, 0, 1, 2] += 0.25
    found: NormalModes = normal_modes(atoms, matrix)
    assert found.asymmetry == 0.25
