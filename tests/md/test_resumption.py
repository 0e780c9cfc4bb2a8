from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import read, write

from pyg_mpnn import Potential
from pyg_mpnn.cli.main import main
from pyg_mpnn.md.resumption import StateFile, read_states


@pytest.fixture
def small_crystal(crystal: Atoms, tmp_path: Path) -> Path:
    write(tmp_path / "crystal.extxyz", crystal * (2, 1, 1))
    return tmp_path / "crystal.extxyz"


def rows(folder: Path) -> list[str]:
    return (folder / "log.csv").read_text().splitlines()


def same(one: Path, other: Path) -> None:
    """Both dynamics are equal to the last bit."""
    assert rows(one) == rows(other)
    pair = [read(folder / "trajectory.traj", ":") for folder in (one, other)]
    assert len(pair[0]) == len(pair[1])
    for a, b in zip(*pair, strict=True):
        assert (a.positions == b.positions).all()
        assert (a.get_momenta() == b.get_momenta()).all()
        assert (a.cell.array == b.cell.array).all()
        assert a.get_potential_energy() == b.get_potential_energy()
    one_summary, other_summary = (json.loads((folder / "summary.json").read_text()) for folder in (one, other))
    for name in ("drift_meV_per_atom_per_ps", "mean_temperature_last_half_K", "bond_changes"):
        assert one_summary[name] == other_summary[name]


RUNS = [
    ("nve", "VelocityVerlet", "ethanol"),
    ("nvt", "Langevin", "ethanol"),
    ("nvt", "Bussi", "ethanol"),
    ("nvt", "NoseHooverChainNVT", "crystal"),
    ("nve", "VelocityVerlet", "crystal"),
    ("npt", "IsotropicMTKNPT", "crystal"),
    ("npt", "MTKNPT", "crystal"),
    ("npt", "MaskedMTKNPT", "crystal"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("ensemble", "integrator", "structure"), RUNS)
def test_resumed_is_equal_to_the_last_bit(
    ensemble: str, integrator: str, structure: str, saved: Path, small_crystal: Path, tmp_path: Path, unchecked: None
) -> None:
    file = small_crystal if structure == "crystal" else "ethanol"
    command = f"md --model {saved} --structure {file} --ensemble {ensemble} --integrator {integrator} --timestep 1"
    command += " --trajectory-interval 4 --threads 1 --temperature 600"
    command += "" if integrator in ("VelocityVerlet", "Langevin") else " --tdamp 20"
    command += " --pdamp 50" if ensemble == "npt" else ""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert main([*command.split(), "--steps", "22", "--out", str(whole)]) == 0
    assert main([*command.split(), "--steps", "9", "--out", str(parts)]) == 0
    assert main([*command.split(), "--steps", "22", "--out", str(parts), "--resume"]) == 0
    same(whole, parts)
    other = tmp_path / "other"
    assert main([*command.split(), "--steps", "22", "--out", str(other), "--seed", "1"]) == 0
    assert rows(other)[5:] != rows(whole)[5:], "control: another dynamics differs"


def kill_after(folder: Path, lines: int, command: list[str]) -> None:
    """Start a process and kill it when its log has so many lines."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen([sys.executable, "-m", "pyg_mpnn", *command], env=environment, stdout=subprocess.DEVNULL)
    while not (folder / "log.csv").exists() or len(rows(folder)) < lines:
        assert process.poll() is None, "it must still run"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("flags", ["--ensemble nve", "--ensemble nvt --friction 0.02", "--ensemble nvt --replicas 2"])
def test_killed_run_goes_on(flags: str, saved: Path, tmp_path: Path, unchecked: None) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    command = f"md --model {saved} --structure ethanol {flags} --steps 36 --trajectory-interval 7 --threads 1".split()
    copies = ["replica_000", "replica_001"] if "replicas" in flags else ["."]
    kill_after(killed / copies[0], 12, [*command, "--out", str(killed)])
    assert read_step(killed) < 11, "what was done since is computed again and found equal"
    written = rows(killed / copies[0])
    with open(killed / copies[0] / "log.csv", "a") as file:
        file.write("35,17.5,-42")  # a line that the kill cut off
    assert main([*command, "--out", str(killed), "--resume"]) == 0
    assert rows(killed / copies[0])[: len(written) - 1] == written[:-1]
    assert main([*command, "--out", str(whole)]) == 0
    for copy in copies:
        assert rows(killed / copy) == rows(whole / copy)
        frames = [read(folder / copy / "trajectory.traj", ":") for folder in (killed, whole)]
        assert len(frames[0]) == len(frames[1]) == 6
        assert all((a.positions == b.positions).all() for a, b in zip(*frames, strict=True))


def read_step(folder: Path) -> int:
    with np.load(folder / "state.npz") as file:
        return int(json.loads(str(file["content"]))["step"])


def test_lines_that_come_out_otherwise_are_counted(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "md"
    command = f"md --model {saved} --structure ethanol --threads 1 --out {out}"
    assert main([*command.split(), "--steps", "6"]) == 0
    lines = (out / "log.csv").read_text().splitlines()
    changed = lines[-1].replace("6,3.0,", "7,3.5,")
    (out / "log.csv").write_text("\n".join([*lines, changed]) + "\n")
    assert main([*command.split(), "--steps", "9", "--resume"]) == 0
    assert "Note: 1 lines of" in capsys.readouterr().out


def test_refused_to_resume(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], unchecked: None) -> None:
    out = tmp_path / "md"
    command = f"md --model {saved} --structure ethanol --steps 4 --out {out} --threads 1".split()
    assert main([*command, "--resume"]) == 1
    assert "'out' must hold state.npz to resume from" in capsys.readouterr().err
    assert main(command) == 0
    assert main([*command, "--resume"]) == 1
    assert f"'steps' must be more than the 4 that are done in {out}, got 4" in capsys.readouterr().err
    longer = [*command[:6], "8", *command[7:], "--resume"]
    assert main([*longer, "--seed", "5", "--timestep", "1"]) == 1
    assert "got other values than it was begun with: seed 0, now 5, timestep 0.5, now 1.0" in capsys.readouterr().err
    Potential.from_size("small").save(saved)
    assert main(longer) == 1
    assert "digests" in capsys.readouterr().err
    assert main(command) == 1
    assert "'out' must be a new or empty folder" in capsys.readouterr().err


@pytest.mark.slow
def test_goes_on_with_velocities_of_a_trajectory(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], unchecked: None
) -> None:
    """NVE from the middle of NVE: the same numbers as if it had not been interrupted."""
    command = f"md --model {saved} --timestep 0.5 --trajectory-interval 5 --threads 1 --steps 20".split()
    first, second = tmp_path / "first", tmp_path / "second"
    assert main([*command, "--structure", "ethanol", "--out", str(first)]) == 0
    start = first / "trajectory.traj"
    assert (
        main([*command, "--structure", str(start), "--frame", "2", "--velocities", "file", "--out", str(second)]) == 0
    )
    out = capsys.readouterr().out
    assert f"{start}: starting from frame 2 (of 5, counted from 0)" in out
    assert "velocities: those of the file" in out
    assert "velocities of the file, time step" in out
    assert out.count("K at the start") == 1, "of the first one"
    assert "taken out" not in out
    old, new = (np.genfromtxt(of / "log.csv", delimiter=",", names=True) for of in (first, second))
    assert (new["total_eV"][:11] == old["total_eV"][10:]).all()
    drawn = tmp_path / "drawn"
    assert main([*command, "--structure", str(start), "--out", str(drawn)]) == 0
    out = capsys.readouterr().out
    assert "starting from frame 4 (the last of 5, counted from 0)" in out
    assert re.search("present but not used: .*momenta", out)
    assert main([*command, "--structure", str(start), "--frame", "5", "--out", str(tmp_path / "x")]) == 1
    assert "'frame' must be from -5 to 4" in capsys.readouterr().err


def test_motion_of_the_whole_is_taken_out_and_said(
    saved: Path, molecule: Atoms, tmp_path: Path, capsys: pytest.CaptureFixture[str], unchecked: None
) -> None:
    molecule.set_velocities(np.full((9, 3), 0.02))
    velocities = molecule.get_velocities()
    velocities[3] = [0.0, 0.03, 0.0]
    molecule.set_velocities(velocities)
    write(tmp_path / "moving.extxyz", molecule)
    command = f"md --model {saved} --structure {tmp_path / 'moving.extxyz'} --velocities file --steps 4 --threads 1"
    assert main([*command.split(), "--out", str(tmp_path / "md")]) == 0
    assert "taken out of them: the motion of the whole, 0.0" in capsys.readouterr().out
    frame = read(tmp_path / "md" / "trajectory.traj", 0)
    assert frame.get_momenta().sum(axis=0) == pytest.approx(np.zeros(3), abs=1e-10)


def test_states_of_copies_are_of_one_step(tmp_path: Path) -> None:
    file = StateFile(tmp_path, {"seed": 1}, 9, count=2, seconds=0.0)
    state = {"positions": np.zeros((2, 3)), "rng": {"state": 2**100}}
    for step in range(4):
        for copy in range(2):
            if file.due(step):
                file.keep(copy, step, {**state, "positions": np.full((2, 3), float(step))}, {"bond_changes": {}})
    step, states, settings = read_states(tmp_path, {"seed": 1})
    assert step in (2, 3)
    assert [of["positions"][0, 0] for of in states] == [step, step]
    assert states[0]["rng"] == {"state": 2**100}
    assert settings == {"seed": 1}
