from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import molecule as build

from pyg_mpnn.md.velocities import degrees_of_freedom, remove_drift, thermal_velocities


def momenta(positions: np.ndarray, velocities: np.ndarray, masses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    linear = masses[:, None] * velocities
    return linear.sum(axis=0), np.cross(positions, linear).sum(axis=0)


def test_velocities_have_the_maxwell_boltzmann_moments() -> None:
    masses = np.repeat([1.0, 16.0], 200_000)
    v = thermal_velocities(masses, 300.0, np.random.default_rng(0)) * np.sqrt(masses)[:, None]
    v /= np.sqrt(units.kB * 300.0)
    # Standard normal: the standard errors of mean, variance and kurtosis of 600,000 numbers are below 0.007.
    for half in (v[:200_000], v[200_000:]):
        assert half.mean() == pytest.approx(0.0, abs=0.01)
        assert half.var() == pytest.approx(1.0, abs=0.01)
        assert (half**4).mean() == pytest.approx(3.0, abs=0.05)


def test_seed_fixes_the_velocities() -> None:
    draws = [thermal_velocities(np.ones(3), 300.0, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert (draws[0] == draws[1]).all()
    assert (draws[0] != draws[2]).all()


@pytest.mark.parametrize("name", ["CH3CH2OH", "H2O", "CO2", "H2"])
def test_drift_of_a_molecule_is_removed(name: str) -> None:
    atoms = build(name)
    positions, masses = atoms.positions + np.array([1.0, 2.0, 3.0]), atoms.get_masses()
    v = thermal_velocities(masses, 300.0, np.random.default_rng(0))
    assert all(np.abs(total).max() > 0.01 for total in momenta(positions, v, masses))
    v = remove_drift(positions, v, masses, rotation=True)
    for total in momenta(positions, v, masses):
        assert total == pytest.approx(np.zeros(3), abs=1e-13)
    assert remove_drift(positions, v, masses, rotation=True) == pytest.approx(v, abs=1e-14)


def test_drift_of_a_crystal_keeps_the_rotation(crystal: Atoms) -> None:
    positions, masses = crystal.positions, crystal.get_masses()
    v = remove_drift(positions, thermal_velocities(masses, 300.0, np.random.default_rng(0)), masses, rotation=False)
    linear, angular = momenta(positions, v, masses)
    assert linear == pytest.approx(np.zeros(3), abs=1e-13)
    assert np.abs(angular).max() > 0.01


@pytest.mark.parametrize(("name", "expected"), [("CH3CH2OH", 21), ("H2O", 3), ("CO2", 4), ("H2", 1)])
def test_degrees_of_freedom_share_the_kinetic_energy(name: str, expected: int) -> None:
    atoms = build(name)
    positions, masses = atoms.positions, atoms.get_masses()
    assert degrees_of_freedom(positions, masses, rotation=True) == expected
    assert degrees_of_freedom(positions, masses, rotation=False) == 3 * len(atoms) - 3
    # What remains of thermal velocities has kT/2 per degree of freedom: 1000 draws, 5 standard errors at most.
    rng = np.random.default_rng(0)
    draws = [
        remove_drift(positions, thermal_velocities(masses, 300.0, rng), masses, rotation=True) for _ in range(1000)
    ]
    kinetic = np.mean([0.5 * (masses[:, None] * v**2).sum() for v in draws])
    assert kinetic / (0.5 * units.kB * 300.0) == pytest.approx(expected, abs=5 * np.sqrt(2 * expected / 1000))
