from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.optimize import BFGS
from ase.vibrations import Infrared
from torch import Tensor

from pyg_mpnn import DipoleOutput, EnergyTerm, Potential, PotentialCalculator
from pyg_mpnn.md import NormalModes, dipole_derivatives, hessian, infrared_intensities, normal_modes, run_vibrations
from pyg_mpnn.models.terms import Geometry
from pyg_mpnn.scatter import scatter_sum


class Bonds(EnergyTerm):
    """Morse potential between all neighbours: the minimum of three atoms is an equilateral triangle."""

    cutoff = 5.0

    def forward(self, geometry: Geometry) -> Tensor:
        energies = 2.3 * (1 - torch.exp(-1.94 * (geometry.edge_vec.norm(dim=1) - 0.74))).square()
        return scatter_sum(energies, geometry.edge_index[1], geometry.z.shape[0])


@pytest.fixture
def polar() -> Potential:
    """No energy but that of the bonds; the dipole is that of a network with random weights."""
    torch.manual_seed(0)
    potential = Potential.from_size("small", outputs={"dipole": DipoleOutput()}, terms=[Bonds()]).double()
    potential.atomwise.scale.zero_()
    return potential


@pytest.fixture
def triangle(polar: Potential) -> Atoms:
    atoms = Atoms("H3", [[0.0, 0.0, 0.0], [0.8, 0.0, 0.0], [0.3, 0.7, 0.1]])
    atoms.calc = PotentialCalculator(polar)
    assert BFGS(atoms, logfile=None).run(fmax=1e-7, steps=200)
    return atoms


def intensities(potential: Potential, atoms: Atoms) -> np.ndarray:
    return infrared_intensities(
        atoms, normal_modes(atoms, hessian(potential, atoms)), dipole_derivatives(potential, atoms)
    )


def test_derivatives_are_those_of_the_dipole(polar: Potential, molecule: Atoms) -> None:
    found = dipole_derivatives(polar, molecule)
    calculator, step = PotentialCalculator(polar), 1e-4
    for i, b in ((0, 2), (5, 1)):
        ends = []
        for sign in (1, -1):
            moved = molecule.copy()
            moved.positions[i, b] += sign * step
            ends.append(calculator.get_property("dipole", moved))
        assert np.abs(found[:, i, b]).max() > 1e-4  # there is something to compare
        assert found[:, i, b] == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-6, abs=1e-6)
    assert found.sum(axis=1) == pytest.approx(0.0, abs=1e-10)  # a neutral molecule: a translation changes no dipole


@pytest.mark.slow
def test_against_ase(polar: Potential, triangle: Atoms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ASE's Infrared takes finite differences of forces and dipole of the same potential."""
    monkeypatch.chdir(tmp_path)
    by_differences = Infrared(triangle, delta=0.002)
    by_differences.run()
    by_differences.read()
    expected = by_differences.intensities[-3:] * by_differences.intensity_prefactor("km/mol")[0]
    found = intensities(polar, triangle)
    assert found.max() > 1e-3
    # The degenerate pair is any two of a plane; its sum is one number. 1e-3: the finite differences.
    assert found[:2].sum() == pytest.approx(expected[:2].sum(), rel=1e-3)


def test_breathing_of_a_triangle_is_inactive(polar: Potential, triangle: Atoms) -> None:
    """In D3h the totally symmetric vibration has no dipole, and the two of E' have the same intensity."""
    found = intensities(polar, triangle)
    assert found[0] == pytest.approx(found[1], rel=1e-4)
    assert found[2] < 1e-6 * found[0]


def test_does_not_depend_on_the_axes(polar: Potential, molecule: Atoms) -> None:
    before = intensities(polar, molecule)
    molecule.rotate(50, (1, 2, 3))
    assert intensities(polar, molecule) == pytest.approx(before, rel=1e-6, abs=1e-6 * before.max())


def test_charges_on_a_spring_are_known() -> None:
    """+-q on a bond: A = N_A q^2 / (12 eps0 c^2 mu), 974.88 km/mol for 1 e and 1 u; the control: twice the charge."""
    atoms = Atoms("HF", [[0, 0, 0], [0, 0, 0.9]])
    masses = atoms.get_masses()
    along = np.array([[[0, 0, 1 / masses[0]], [0, 0, -1 / masses[1]]]])
    modes = NormalModes(np.array([0.5]), along / np.linalg.norm(along), 5, 0.0, 0.0)
    reduced = masses.prod() / masses.sum()
    for charge in (0.4, 0.8):
        derivatives = charge * np.stack([np.eye(3), -np.eye(3)], axis=1)
        assert infrared_intensities(atoms, modes, derivatives) == pytest.approx(974.88 * charge**2 / reduced, rel=1e-4)


def test_debye_is_converted_and_other_units_are_not_guessed(molecule: Atoms, crystal: Atoms) -> None:
    torch.manual_seed(0)
    polar = Potential.from_size("small", outputs={"dipole": DipoleOutput()})
    found = dipole_derivatives(polar, molecule)
    polar.outputs["dipole"].unit = "D"
    assert dipole_derivatives(polar, molecule) == pytest.approx(0.20819433 * found, rel=1e-6)
    polar.outputs["dipole"].unit = "au"
    assert dipole_derivatives(polar, molecule) is None
    assert dipole_derivatives(Potential.from_size("small"), molecule) is None
    assert dipole_derivatives(Potential.from_size("small", outputs={"dipole": DipoleOutput()}), crystal) is None


@pytest.mark.slow
@pytest.mark.usefixtures("drawn")
def test_vib_writes_them(polar: Potential, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ase.io import write

    for module in ("relaxation", "vibrations"):
        monkeypatch.setattr(f"pyg_mpnn.md.{module}.open_potential", lambda path, **_: polar)
    write(tmp_path / "h3.xyz", Atoms("H3", [[0.0, 0.0, 0.0], [0.8, 0.0, 0.0], [0.3, 0.7, 0.1]]))
    found = run_vibrations("polar", tmp_path / "h3.xyz", tmp_path / "out", relax=True, fmax=1e-6)
    assert found.intensities_km_per_mol is not None
    assert "infrared intensities in km/mol" in str(found)
    assert (tmp_path / "out" / "infrared.png").stat().st_size > 5000
