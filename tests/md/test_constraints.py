from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import fcc100
from ase.constraints import FixAtoms, FixBondLengths, FixCartesian, FixCom, FixSymmetry
from ase.io import read, write

from pyg_mpnn.cli.main import main
from pyg_mpnn.md import normal_modes
from pyg_mpnn.md.constraints import describe_constraints, fix_atoms, free_coordinates, removed_degrees


@pytest.mark.parametrize(
    ("words", "expected"), [(["0", "2"], [0, 2]), (["1-3"], [1, 2, 3]), (["element=C", "2"], [0, 1, 2]), (None, [])]
)
def test_words_that_fix_atoms(words: list[str] | None, expected: list[int], molecule: Atoms) -> None:
    fix_atoms(molecule, words)
    fixed = np.flatnonzero(~free_coordinates(molecule).any(axis=1))
    assert fixed.tolist() == expected


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["9"], r"'fix' must be indices from 0 to 8, got '9'"),
        (["3-1"], r"'fix' must be indices from 0 to 8, got '3-1'"),
        (["element=Cu"], r"'fix' must name an element of C2H6O, got 'element=Cu'"),
        (["bottom"], r"'fix' must be indices \(3\), ranges \(0-7\) or elements \(element=Cu\), got 'bottom'"),
        (["-1"], r"'fix' must be indices \(3\)"),
        (["0-8"], r"'fix' must leave an atom that moves, got all 9: 0-8"),
    ],
)
def test_words_that_do_not(words: list[str], message: str, molecule: Atoms) -> None:
    with pytest.raises(ValueError, match=message):
        fix_atoms(molecule, words)


def test_degrees_of_freedom_are_counted_once(molecule: Atoms) -> None:
    molecule.set_constraint([FixAtoms([0, 1]), FixCartesian([1, 2], mask=(True, False, False)), FixCom()])
    assert removed_degrees(molecule) == 6 + 1 + 3
    assert describe_constraints(molecule).startswith("constraints: 2 of 9 atoms fixed, FixCartesian")
    molecule.set_constraint(FixBondLengths([(0, 1)]))
    assert removed_degrees(molecule) == 1
    with pytest.raises(ValueError, match=r"'structure' must have no constraints but FixAtoms and FixCartesian here"):
        free_coordinates(molecule)


def test_a_constraint_whose_degrees_ase_does_not_count(crystal: Atoms) -> None:
    class Unknown(FixSymmetry):
        def __init__(self) -> None:
            pass

        def get_removed_dof(self, atoms: Atoms) -> int:
            raise NotImplementedError

    crystal.set_constraint(Unknown())
    with pytest.raises(ValueError, match="has a constraint whose degrees of freedom ASE does not count"):
        removed_degrees(crystal)


@pytest.fixture
def slab(crystal: Atoms) -> Atoms:
    """Four layers of silicon atoms that stand for a surface."""
    atoms = fcc100("Si", (1, 1, 4), a=5.0, vacuum=4.0)
    atoms.set_constraint(FixAtoms([0, 1]))
    atoms.info.clear()
    return atoms


@pytest.mark.slow
@pytest.mark.parametrize("name", ["slab.traj", "POSCAR", "slab.extxyz"])
@pytest.mark.parametrize(
    "flags", ["--ensemble nve", "--ensemble nvt", "--ensemble nvt --integrator NoseHooverChainNVT"]
)
def test_constraints_of_a_file_are_kept_in_dynamics(
    name: str, flags: str, slab: Atoms, saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], unchecked: None
) -> None:
    write(tmp_path / name, slab)
    command = f"md --model {saved} --structure {tmp_path / name} {flags} --steps 6 --threads 1"
    command += " --trajectory-interval 2"
    assert main([*command.split(), "--fix", "3", "--out", str(tmp_path / "md")]) == 0
    out = capsys.readouterr().out
    assert "constraints: 3 of 4 atoms fixed" in out
    assert "degrees of freedom in the temperature: 3 of 12, without those of constraints" in out
    frames = read(tmp_path / "md" / "trajectory.traj", ":")
    positions = np.array([frame.positions for frame in frames])
    assert np.ptp(positions[:, [0, 1, 3]], axis=0).max() == 0.0
    assert np.ptp(positions[:, 2], axis=0).min() > 1e-5
    log = np.genfromtxt(tmp_path / "md" / "log.csv", delimiter=",", names=True)
    assert log["temperature_K"] == pytest.approx(2 * log["kinetic_eV"] / (3 * units.kB), abs=1e-3)
    if "nve" in flags:
        assert log["temperature_K"][0] == pytest.approx(300.0, abs=1e-3)


def test_fixed_atoms_in_relax_and_vib(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], unchecked: None
) -> None:
    command = f"--model {saved} --structure ethanol --threads 1 --fix element=C 2".split()
    assert main(["relax", *command, "--steps", "3", "--out", str(tmp_path / "relaxed")]) == 3
    assert "constraints: 3 of 9 atoms fixed" in capsys.readouterr().out
    frames = read(tmp_path / "relaxed" / "trajectory.traj", ":")
    moved = np.abs(frames[-1].positions - frames[0].positions).max(axis=1)
    assert (moved > 0).tolist() == [False] * 3 + [True] * 6
    assert main(["vib", *command, "--out", str(tmp_path / "vib")]) == 0
    out = capsys.readouterr().out
    assert "C2H6O: 18 vibrations" in out
    assert "9 coordinates fixed: modes of the others" in out
    found = json.loads((tmp_path / "vib" / "vibrations.json").read_text())
    assert (found["num_fixed"], found["num_whole"]) == (9, 0)
    modes = np.array([frame.arrays["mode"] for frame in read(tmp_path / "vib" / "modes.extxyz", ":")])
    assert np.abs(modes[:, :3]).max() == 0.0


def test_modes_of_an_atom_on_a_spring_to_a_fixed_one() -> None:
    """k/m of one atom, where two free ones have twice that; the bends are free."""
    atoms = Atoms("H2", [[0, 0, 0], [0, 0, 0.74]])
    matrix = np.kron([[1.0, -1.0], [-1.0, 1.0]], np.diag([0.0, 0.0, 36.0])).reshape(2, 3, 2, 3)
    free = np.array([[False] * 3, [True] * 3])
    one, both = normal_modes(atoms, matrix, free), normal_modes(atoms, matrix)
    assert one.frequencies_cm[-1] == pytest.approx(both.frequencies_cm[-1] / np.sqrt(2))
    assert len(one.energies) == 3
    assert one.num_whole == 0
