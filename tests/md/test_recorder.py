from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.calculators.emt import EMT
from ase.io import read

from pyg_mpnn.md import ExplosionError
from pyg_mpnn.md.recorder import Recorder


@pytest.fixture
def atoms(molecule: Atoms) -> Atoms:
    molecule.calc = EMT()
    molecule.set_velocities(np.full((9, 3), 0.01))
    return molecule


def test_record_is_on_disk_after_each_call(atoms: Atoms, tmp_path: Path) -> None:
    with Recorder(atoms, tmp_path, 0.5, 300.0, 21, log_interval=2, trajectory_interval=3) as recorder:
        for step in range(7):
            atoms.positions[0, 0] += 0.01
            recorder()
            with open(tmp_path / "log.csv") as file:
                lines = list(csv.DictReader(file))
            assert [int(line["step"]) for line in lines] == list(range(0, step + 1, 2))
            assert len(read(tmp_path / "trajectory.traj", ":")) == step // 3 + 1
    last = lines[-1]
    assert float(last["time_fs"]) == 3.0
    assert float(last["potential_eV"]) == pytest.approx(atoms.get_potential_energy(), abs=1e-9)
    assert float(last["total_eV"]) == pytest.approx(atoms.get_total_energy(), abs=2e-9)
    assert float(last["temperature_K"]) == pytest.approx(2 * atoms.get_kinetic_energy() / (21 * units.kB), abs=1e-3)
    frame = read(tmp_path / "trajectory.traj")
    assert frame.get_velocities() == pytest.approx(atoms.get_velocities())
    assert frame.get_forces() == pytest.approx(atoms.get_forces())


def test_log_is_per_atom_from_the_start(atoms: Atoms, tmp_path: Path) -> None:
    with Recorder(atoms, tmp_path, 0.5, 300.0, 21) as recorder:
        recorder()
        before = atoms.get_potential_energy()
        atoms.positions[0, 0] += 0.1
        recorder()
    log = recorder.log()
    assert log.time.tolist() == [0.0, 0.0005]
    assert log.potential == pytest.approx([0.0, (atoms.get_potential_energy() - before) * 1000 / 9])
    assert log.kinetic == pytest.approx([atoms.get_kinetic_energy() * 1000 / 9] * 2)


def test_first_step_of_a_broken_bond_is_kept(atoms: Atoms, tmp_path: Path) -> None:
    with Recorder(atoms, tmp_path, 0.5, 300.0, 21, trajectory_interval=1) as recorder:
        for _ in range(4):
            recorder()
            atoms.positions[3] += 0.4 * (atoms.positions[3] - atoms.positions[2])
    assert recorder.bond_changes == {"O2-H3 broken": 2}


def test_periodic_structure_has_no_bonds_to_watch(crystal: Atoms, tmp_path: Path) -> None:
    with Recorder(crystal, tmp_path, 0.5, 300.0, 3) as recorder:
        assert recorder.bonds is None


@pytest.mark.parametrize("speed", [np.nan, np.inf, 1.0])
def test_explosion_stops_and_says_where(atoms: Atoms, tmp_path: Path, speed: float) -> None:
    with Recorder(atoms, tmp_path, 0.5, 300.0, 21) as recorder:
        recorder()
        velocities = atoms.get_velocities()
        velocities[4] = speed  # 1 in ASE's unit: 1.5 eV for a hydrogen
        atoms.set_velocities(velocities)
        if speed == 1.0:
            recorder()  # fast, but possible
            atoms.set_velocities(3 * velocities)
        with pytest.raises(
            ExplosionError,
            match=r"exploded at step \d .* fs\): the kinetic energy of atom 4 \(H\) is (nan|inf|13.6) eV",
        ):
            recorder()
    assert len(read(tmp_path / "trajectory.traj", ":")) == 1


def test_hot_dynamics_is_no_explosion(atoms: Atoms, tmp_path: Path) -> None:
    with Recorder(atoms, tmp_path, 0.5, 10_000.0, 21) as recorder:
        for seed in range(200):
            xi = np.random.default_rng(seed).normal(size=(9, 3))
            atoms.set_velocities(np.sqrt(units.kB * 10_000.0 / atoms.get_masses())[:, None] * xi)
            recorder()
