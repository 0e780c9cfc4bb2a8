from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.io import write

from pyg_mpnn.cli.main import main
from pyg_mpnn.md.diffusion import diffusion, mean_squared_displacement
from pyg_mpnn.md.observables import observe
from pyg_mpnn.md.observables_plot import plot_observables
from pyg_mpnn.md.pair_distribution import pair_distribution, pair_reach
from pyg_mpnn.md.vibrational_density import broadened, vibrational_density


def test_shells_of_crystals() -> None:
    """NaCl: 6 unlike neighbours at a/2, 12 alike at a/sqrt(2), counted and placed."""
    salt = bulk("NaCl", "rocksalt", a=5.6, cubic=True) * (2, 2, 2)
    assert pair_reach([salt]) == pytest.approx(5.6)
    r, curves = pair_distribution([salt], 4.5, bins=90)
    assert set(curves) == {"Na-Na", "Na-Cl", "Cl-Cl"}
    unlike, alike = curves["Na-Cl"], curves["Na-Na"]
    assert r[unlike[0].argmax()] == pytest.approx(2.8, abs=0.03)
    assert unlike[1][-1] == pytest.approx(6.0)
    assert r[alike[0].argmax()] == pytest.approx(5.6 / np.sqrt(2), abs=0.03)
    assert alike[1][-1] == pytest.approx(12.0)


def test_pair_distribution_of_an_ideal_gas_is_one() -> None:
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(20):
        atoms = Atoms("H100O50", rng.random((150, 3)) * 12.0, cell=[12.0, 12.0, 12.0], pbc=True)
        frames.append(atoms)
    _, curves = pair_distribution(frames, 6.0, bins=6)
    for g, _ in curves.values():
        assert g[3:] == pytest.approx(np.ones(3), abs=0.1)


def test_diffusion_of_a_random_walk() -> None:
    """Steps of variance s^2 in each direction every 0.1 ps: D = s^2 / (2 * 0.1 ps)."""
    rng = np.random.default_rng(0)
    positions = rng.normal(scale=0.3, size=(800, 40, 3)).cumsum(axis=0)
    found = diffusion(positions, 0.1)
    assert found.error < 0.15 * found.coefficient
    assert abs(found.coefficient - 0.45) < 4 * found.error
    assert found.is_seen
    lags, msd = mean_squared_displacement(positions)
    assert (lags[0], lags[1], lags[-1], msd[0]) == (0, 4, 400, 0.0)
    assert msd[1] == pytest.approx(4 * 3 * 0.09, rel=0.03)
    vibration = rng.normal(scale=0.1, size=(800, 40, 3))
    assert not diffusion(vibration, 0.1).is_seen, "control: atoms that stay"


@pytest.mark.parametrize("width", [0.0, 30.0])
def test_vibrational_density_of_two_oscillators(width: float) -> None:
    """At 500 and 1500 cm^-1 with equal energy: equal areas, 3 modes for each atom in all."""
    time = 0.002 * np.arange(1000)
    phases = 2 * np.pi * np.outer(time, [500.0, 1500.0]) * units._c * 100 * 1e-12
    masses = np.array([4.0, 1.0])
    velocities = np.zeros((1000, 2, 3))
    velocities[:, 0, 0], velocities[:, 1, 2] = 0.5 * np.cos(phases[:, 0]), np.cos(phases[:, 1] + 0.3)
    nu, density = vibrational_density(velocities, masses, 0.002, width)
    low = nu < 1000
    assert nu[low][density[low].argmax()] == pytest.approx(500.0, abs=10.0)
    assert nu[~low][density[~low].argmax()] == pytest.approx(1500.0, abs=10.0)
    assert density[low].sum() * nu[1] == pytest.approx(3.0, rel=0.01)
    assert density.sum() * nu[1] == pytest.approx(6.0, rel=1e-6)


def test_broadened_modes_keep_their_number() -> None:
    nu, density = broadened(np.array([-80.0, 100.0, 300.0, 300.0]), 20.0, points=4000)
    assert density.sum() * (nu[1] - nu[0]) == pytest.approx(4.0, rel=1e-3)
    assert nu[density.argmax()] == pytest.approx(300.0, abs=1.0)


def trajectory(path: Path, atoms: Atoms, frames: int) -> Path:
    rng = np.random.default_rng(0)
    steps = 0.1 * rng.normal(size=(frames, len(atoms), 3)).cumsum(axis=0)
    images = []
    for step in steps:
        image = atoms.copy()
        image.positions += step
        image.set_velocities(rng.normal(size=(len(atoms), 3)))
        images.append(image)
    write(path, images)
    return path


def test_what_a_trajectory_does_not_allow_is_left_out_with_its_reason(
    tmp_path: Path, molecule: Atoms, drawn: None
) -> None:
    copper = bulk("Cu", cubic=True)
    short = trajectory(tmp_path / "short.traj", copper, 10)
    found = observe([short], 1.0, 1)
    assert found.numbers == {}
    assert found.left_out["g(r)"].startswith("half the height of the cell is 1.8")
    assert found.left_out["mean squared displacement"] == "10 frames are fewer than 200"
    found = observe([trajectory(tmp_path / "mol.traj", molecule, 200)], 0.5, 10)
    assert found.left_out == {
        "vibrational density of states": "frames every 5 fs are too rare for vibrations with hydrogen, of 3800 cm^-1 "
        "and less, whose shortest period is 8.8 fs: give --trajectory-interval 5"
    }
    assert "vibrational_density" in observe([tmp_path / "mol.traj"], 0.5, 5).numbers, "as advised"
    assert "take a --timestep of at most 4 fs" in str(observe([tmp_path / "mol.traj"], 5.0, 1))
    large = trajectory(tmp_path / "large.traj", copper * (2, 2, 2), 210)
    found = observe([large, large], 5.0, 1)
    assert found.left_out == {"mean squared displacement": "1.1 ps are less than 2"}
    assert set(found.numbers) == {"pair_distribution", "vibrational_density"}
    found = observe([large], 10.0, 1)
    assert found.numbers["mean_squared_displacement"]["elements"]["Cu"]["diffusion_seen"]
    assert "Cu: D = (" in str(found)
    assert "vibrational density of states" in found.left_out
    plot_observables(tmp_path / "observables.png", found.numbers, "title")
    assert (tmp_path / "observables.png").stat().st_size > 10_000


def test_observables_from_the_command_line(saved: Path, crystal: Atoms, tmp_path: Path, unchecked: None) -> None:
    write(tmp_path / "crystal.extxyz", crystal * (3, 3, 3))
    command = f"md --model {saved} --structure {tmp_path / 'crystal.extxyz'} --steps 4 --threads 1"
    assert main([*command.split(), "--trajectory-interval", "2", "--out", str(tmp_path / "md")]) == 0
    written = json.loads((tmp_path / "md" / "observables.json").read_text())
    assert written["pair_distribution"]["frames"] == 2
    assert max(written["pair_distribution"]["r_A"]) < 5.0
    assert written["left_out"]["vibrational density of states"] == "3 frames are fewer than 200"
    assert (tmp_path / "md" / "observables.png").exists()
