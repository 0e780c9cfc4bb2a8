from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator
from ase.calculators.lj import LennardJones
from ase.constraints import FixAtoms
from ase.io import read, write

from pyg_mpnn import PotentialCalculator
from pyg_mpnn.md import run_relaxation
from pyg_mpnn.units import GPA

FILES = {"relaxed.extxyz", "trajectory.traj", "log.csv", "summary.json", "relaxation.png"}


@pytest.fixture
def lennard_jones(monkeypatch: pytest.MonkeyPatch) -> None:
    """A potential with a known minimum in place of the saved one."""

    def calculator(*_: object, **__: object) -> Calculator:
        return LennardJones(sigma=3.4, epsilon=0.0104, rc=9.0, smooth=True)

    monkeypatch.setattr("pyg_mpnn.md.relaxation.PotentialCalculator", calculator)
    monkeypatch.setattr("pyg_mpnn.md.relaxation.known_elements", lambda *_: None)  # it knows argon


@pytest.mark.parametrize("optimizer", ["bfgs", "fire"])
def test_pair_comes_to_its_known_distance(
    optimizer: str, saved: Path, lennard_jones: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "pair.xyz", Atoms("Ar2", [[0, 0, 0], [0, 0, 3.6]]))
    found = run_relaxation(saved, tmp_path / "pair.xyz", tmp_path / "out", optimizer=optimizer, fmax=1e-5)
    assert found.converged
    atoms = read(tmp_path / "out" / "relaxed.extxyz")
    assert atoms.get_distance(0, 1) == pytest.approx(2 ** (1 / 6) * 3.4, abs=1e-3)
    assert atoms.info["converged"]
    assert "relaxed in" in capsys.readouterr().out


def test_cell_relaxes_to_no_stress(saved: Path, lennard_jones: None, tmp_path: Path) -> None:
    crystal = bulk("Ar", a=5.0)
    crystal.set_cell(crystal.cell.array @ np.array([[1.02, 0.01, 0], [0, 0.99, 0], [0, 0, 1]]), scale_atoms=True)
    write(tmp_path / "ar.extxyz", crystal)
    found = run_relaxation(saved, tmp_path / "ar.extxyz", tmp_path / "out", cell=True, fmax=1e-4)
    relaxed = read(tmp_path / "out" / "relaxed.extxyz")
    relaxed.calc = LennardJones(sigma=3.4, epsilon=0.0104, rc=9.0, smooth=True)
    assert found.converged
    assert np.abs(relaxed.get_stress()).max() / GPA == pytest.approx(found.max_stress_GPa, rel=1e-3, abs=1e-5)
    assert found.max_stress_GPa < 1e-3
    assert found.volume_change == pytest.approx(relaxed.get_volume() / crystal.get_volume())
    angles = relaxed.cell.cellpar()[3:]
    assert angles == pytest.approx([60, 60, 60], abs=0.1)  # of the cubic lattice, which the strain had broken


def test_a_slab_relaxes_in_its_plane(saved: Path, lennard_jones: None, tmp_path: Path) -> None:
    layer = Atoms("Ar", cell=[[3.7, 0.0, 0.0], [1.8, 0.0, 3.3], [0.0, 20.0, 0.0]], pbc=[True, True, False])
    write(tmp_path / "layer.traj", layer)
    found = run_relaxation(saved, tmp_path / "layer.traj", tmp_path / "out", cell=True, fmax=1e-4)
    relaxed = read(tmp_path / "out" / "relaxed.extxyz")
    assert found.converged
    assert found.max_stress_GPa < 1e-3
    assert relaxed.cell.array[2] == pytest.approx([0.0, 20.0, 0.0], abs=1e-12)
    assert relaxed.cell.cellpar()[:2] == pytest.approx([relaxed.cell.cellpar()[0]] * 2, abs=1e-3)
    assert relaxed.cell.cellpar()[5] == pytest.approx(60.0, abs=0.1)  # the close-packed layer
    tilted = layer.copy()
    tilted.rotate(30, "x", rotate_cell=True)
    write(tmp_path / "tilted.traj", tilted)
    with pytest.raises(ValueError, match="'cell' needs a slab in the plane of two axes, got one with the normal"):
        run_relaxation(saved, tmp_path / "tilted.traj", tmp_path / "again", cell=True)


def test_files_of_a_relaxation_say_the_same(saved: Path, molecule: Atoms, tmp_path: Path) -> None:
    write(tmp_path / "start.xyz", molecule)
    found = run_relaxation(saved, tmp_path / "start.xyz", tmp_path / "out", fmax=0.05)
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir()} == FILES
    log = np.genfromtxt(out / "log.csv", delimiter=",", names=True)
    frames = read(out / "trajectory.traj", ":")
    assert len(frames) == len(log) == found.steps + 1
    assert [frame.get_potential_energy() for frame in frames] == pytest.approx(log["energy_eV"], abs=1e-8)
    written = json.loads((out / "summary.json").read_text())
    assert written["energy_eV"] == found.energy_eV
    assert written["settings"]["fmax"] == 0.05
    relaxed = read(out / "relaxed.extxyz")
    relaxed.calc = PotentialCalculator(saved)
    assert np.linalg.norm(relaxed.get_forces(), axis=1).max() == pytest.approx(found.fmax_eV_per_A, abs=1e-5)
    assert found.fmax_eV_per_A < 0.05
    assert found.energy_eV < found.energy_start_eV


def test_no_convergence_is_said_loudly(
    saved: Path, molecule: Atoms, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "start.xyz", molecule)
    found = run_relaxation(saved, tmp_path / "start.xyz", tmp_path / "out", steps=2)
    assert not found.converged
    assert "NOT CONVERGED after 2 steps" in capsys.readouterr().out
    assert not read(tmp_path / "out" / "relaxed.extxyz").info["converged"]


def test_fixed_atoms_stay(saved: Path, molecule: Atoms, tmp_path: Path) -> None:
    molecule.set_constraint(FixAtoms([0, 1]))
    write(tmp_path / "start.traj", molecule)
    run_relaxation(saved, tmp_path / "start.traj", tmp_path / "out", steps=5)
    moved = np.abs(read(tmp_path / "out" / "relaxed.extxyz").positions - molecule.positions).max(axis=1)
    assert (moved[:2] < 1e-7).all()
    assert (moved[2:] > 1e-4).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fmax": 0.0}, "'fmax' must be positive and finite, got 0.0"),
        ({"steps": 0}, "'steps' must be positive and finite, got 0"),
        ({"optimizer": "newton"}, "'optimizer' must be one of bfgs, fire, got 'newton'"),
        (
            {"cell": True},
            "'cell' needs a structure that is periodic in two or three directions, with three cell vectors, got",
        ),
    ],
)
def test_errors(change: dict[str, object], message: str, saved: Path, tmp_path: Path, unchecked: None) -> None:
    with pytest.raises(ValueError, match=message):
        run_relaxation(saved, "ethanol", tmp_path / "out", **change)
    assert not (tmp_path / "out").exists()
