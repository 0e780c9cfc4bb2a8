"""Neighbours of the faults in ``test_faults.py``: other files, other commands, other names of the same kinds."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.db
import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator

from pyg_mpnn import Potential
from pyg_mpnn.data import LabelNames, read_structures
from pyg_mpnn.data.convert import to_data
from pyg_mpnn.files import hold_folder

TINY = {"hidden_channels": 8, "edge_dim": 8, "channels": 2, "l_max": 1, "num_layers": 1}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    potential = Potential.from_size("small", **TINY)
    potential.set_reference({1: -13.6, 8: -2041.8, 20: -1.0, 29: -1.0, 47: -1.0}, 1.0, [8.0])
    potential.save(tmp_path / "model.pt")
    return tmp_path / "model.pt"


def water(count: int = 4) -> list[Atoms]:
    draw, frames = np.random.default_rng(0), []
    for _ in range(count):
        frame = molecule("H2O")
        shift = 0.1 * draw.normal(size=(3, 3))
        frame.positions += shift
        frame.calc = SinglePointCalculator(frame, energy=float((shift**2).sum()), forces=-2 * shift)
        frames.append(frame)
    return frames


def npz(path: Path, **changes: Any) -> Path:
    frames = water()
    held = {"z": frames[0].numbers, "R": np.array([frame.positions for frame in frames])}
    held["E"] = np.array([frame.get_potential_energy() for frame in frames])
    held["F"] = np.array([frame.get_forces() for frame in frames])
    np.savez(path, **{name: value for name, value in {**held, **changes}.items() if value is not None})
    return path


def test_npz_with_forces_under_another_name(run: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    data = npz(tmp_path / "data.npz", F=None, force=np.ones((4, 3, 3)))
    code, shown = run("train", "--data", data, "--out", tmp_path / "run")
    assert code == 1
    assert "force" in shown.split("which holds")[1]
    assert "'F'" in shown


def test_npz_with_energies_twice(run: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    code, shown = run("inspect", "--data", npz(tmp_path / "data.npz", energies=np.zeros(4)), "--steps", "0")
    assert code == 1
    assert "both" in shown


def crystal(**info: Any) -> Atoms:
    atoms = Atoms("Cu2", [[0, 0, 0], [1.9, 1.8, 0.1]], cell=4 * np.eye(3), pbc=True)
    atoms.info.update(energy=-1.0, **info)
    atoms.arrays["forces"] = np.ones((2, 3))
    return atoms


def test_virial_that_is_not_symmetric(tmp_path: Path) -> None:
    atoms = crystal(virial=np.arange(9.0).reshape(3, 3))
    ase.io.write(tmp_path / "data.xyz", [atoms, atoms], format="extxyz")
    with pytest.raises(ValueError, match=r"'stress' of frame 0 .* must be symmetric"):
        read_structures(tmp_path / "data.xyz")


def test_stress_of_a_wire_is_said_to_be_unread(run: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    wires = [crystal(virial=np.eye(3)) for _ in range(3)]
    for wire in wires:
        wire.pbc = [True, False, False]
    ase.io.write(tmp_path / "data.xyz", wires, format="extxyz")
    _, shown = run("inspect", "--data", tmp_path / "data.xyz", "--steps", "0")
    assert "stress of 3 structures is NOT READ" in shown


@pytest.mark.parametrize("value", [True, np.ma.masked_array(np.ones((3, 3)), np.eye(3) > 0), 1j * np.ones((3, 3))])
def test_labels_that_are_no_real_numbers(value: Any) -> None:
    atoms = molecule("H2O")
    atoms.info.update(energy=value) if np.ndim(value) == 0 else atoms.info.update(energy=-1.0, forces=value)
    with pytest.raises(ValueError, match="must hold real numbers"):
        to_data(atoms)


def test_weight_that_is_a_truth(tmp_path: Path) -> None:
    atoms = crystal(config_weight=True)
    ase.io.write(tmp_path / "data.xyz", atoms, format="extxyz")
    with pytest.raises(ValueError, match=r"config_weight.*one number"):
        read_structures(tmp_path / "data.xyz")


@pytest.mark.parametrize("name", ["isolated_atom", "Isolated-Atom", "isolated atoms"])
def test_isolated_atoms_in_a_box_of_a_database(name: str, tmp_path: Path) -> None:
    atom = Atoms("H", cell=20 * np.eye(3), pbc=True)
    atom.calc = SinglePointCalculator(atom, energy=-13.6, forces=np.zeros((1, 3)))
    with ase.db.connect(tmp_path / "data.db") as database:
        database.write(atom, config_type=name)
    assert "isolated" in read_structures(tmp_path / "data.db")[0]


CIF = """data_x
_cell_length_a 4
_cell_length_b 4
_cell_length_c 4
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_space_group_name_H-M_alt 'P 1'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Cu1 Cu 0 0 0 {share}
Cu2 Cu .5 .5 .5 1.0
"""
POSCAR = "Ag Cu of a friend\n1.0\n4 0 0\n0 4 0\n0 0 4\n{elements}1\nDirect\n0 0 0\n"
PDB = "HETATM    1  CA  LIG A   1       0.000   0.000   0.100  {share}  0.00          {element}\nEND\n"


@pytest.mark.parametrize(
    ("name", "wrong", "word", "right"),
    [
        ("a.cif", CIF.format(share="0.6"), "occupancy", CIF.format(share="1.0")),
        ("POSCAR", POSCAR.format(elements=""), "elements", POSCAR.format(elements="Ag\n")),
        ("a.pdb", PDB.format(share="1.00", element=""), "elements", PDB.format(share="1.00", element="Ca")),
        ("a.pdb", PDB.format(share="0.50", element="Ca"), "occupancy", PDB.format(share="1.00", element="Ca")),
    ],
    ids=["CIF", "POSCAR", "PDB without elements", "PDB"],
)
def test_atoms_that_a_reader_guesses(
    name: str, wrong: str, word: str, right: str, run: Callable[..., tuple[int, str]], model: Path, tmp_path: Path
) -> None:
    for text, expected in ((wrong, 1), (right, 0)):
        (tmp_path / name).write_text(text)
        flags = ["--structures", tmp_path / name, "--out", tmp_path / "out.xyz"]
        code, shown = run("predict", "--model", model, *flags)
        assert code == expected, shown
        assert expected == 0 or word in shown


def dump(path: Path, columns: str, rows: list[str], units: str = "") -> Path:
    head = f"ITEM: UNITS\n{units}\n" if units else ""
    box = "ITEM: BOX BOUNDS pp pp pp\n0 9\n0 9\n0 9\n"
    frame = f"{head}ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n{len(rows)}\n{box}ITEM: ATOMS {columns}\n"
    path.write_text(2 * (frame + "\n".join(rows) + "\n"))
    return path


@pytest.mark.parametrize("column", ["element", "mass"])
def test_types_against_the_elements_of_a_dump(column: str, tmp_path: Path) -> None:
    atoms = {"element": ("O", "H"), "mass": ("15.999", "1.008")}[column]
    rows = [f"{k + 1} {k + 1} {atom} 1 1 {k + 1} 0 0 {k}" for k, atom in enumerate(atoms)]
    path = dump(tmp_path / "a.lammpstrj", f"id type {column} x y z fx fy fz", rows)
    read_structures(path, energy=False, labels=LabelNames(types={1: "O", 2: "H"}))
    with pytest.raises(ValueError, match="'types' must be those"):
        read_structures(path, energy=False, labels=LabelNames(types={1: "Cu", 2: "Ag"}))


def test_units_of_a_dump(tmp_path: Path) -> None:
    rows = ["1 O 1 1 1 0 0 1", "2 H 1 1 2 0 0 -1"]
    path = dump(tmp_path / "a.lammpstrj", "id element x y z fx fy fz", rows, units="real")
    with pytest.raises(ValueError, match=r"'energy_unit' must be given .* real"):
        read_structures(path, energy=False)
    frames = read_structures(path, energy=False, labels=LabelNames(energy_unit="kcal/mol"))
    assert frames[0].forces[0, 2].item() == pytest.approx(0.0433641, rel=1e-5)
    dump(path, "id element x y z fx fy fz", rows, units="electron")
    with pytest.raises(ValueError, match="'electron'"):
        read_structures(path, energy=False)


def test_report_in_place_of_a_folder(run: Callable[..., tuple[int, str]], model: Path, tmp_path: Path) -> None:
    ase.io.write(tmp_path / "water.xyz", water(), format="extxyz")
    code, shown = run("evaluate", "--model", model, "--data", tmp_path / "water.xyz", "--json", tmp_path)
    assert code == 1
    assert "'json' must be a file" in shown
    assert "MAE" not in shown  # before anything is computed


@pytest.mark.parametrize("command", ["md", "lammps"])
def test_negative_seed(command: str, run: Callable[..., tuple[int, str]], model: Path, tmp_path: Path) -> None:
    ase.io.write(tmp_path / "water.xyz", water(), format="extxyz")
    flags = ["--structure", tmp_path / "water.xyz", "--out", tmp_path / "out", "--seed", "-1"]
    code, shown = run(command, "--model", model, *flags)
    assert code == 1
    assert "'seed' must be at least 0" in shown


@pytest.mark.parametrize("command", ["predict", "relax"])
def test_device_without_numbers(command: str, run: Callable[..., tuple[int, str]], model: Path, tmp_path: Path) -> None:
    ase.io.write(tmp_path / "water.xyz", water(), format="extxyz")
    flags = ["--structure", tmp_path / "water.xyz", "--out", tmp_path / "out.xyz", "--device", "meta"]
    code, shown = run(command, "--model", model, *flags)
    assert code == 1
    assert "'device' must be" in shown


@pytest.mark.filterwarnings("ignore")
def test_tensors_without_rows_of_numbers() -> None:
    potential, z, pos = Potential.from_size("small", **TINY), torch.tensor([8, 1]), torch.eye(2, 3)
    for other, word in ((pos.to("meta"), "meta"), (torch.nested.nested_tensor([pos]), "nested")):
        with pytest.raises(TypeError, match=f"'pos' must be a dense tensor, got .*{word}"):
            potential(z, other)


def _hold(folder: Path, held: Any, done: Any) -> None:
    with hold_folder(folder):
        held.set()
        done.wait(120)


@pytest.mark.parametrize("command", ["relax", "vib", "lammps", "ablate"])
def test_folder_in_which_another_process_works(
    command: str,
    run: Callable[..., tuple[int, str]],
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pyg_mpnn.engines.lammps_dynamics._mpiexec", lambda: "true")  # without LAMMPS
    ase.io.write(tmp_path / "water.xyz", water(), format="extxyz")
    context = multiprocessing.get_context("fork")
    held, done = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path / "out", held, done))
    other.start()
    try:
        assert held.wait(60)
        flags = ["--data" if command == "ablate" else "--structure", tmp_path / "water.xyz"]
        flags += ["--minutes", "0.01"] if command == "ablate" else ["--model", model]
        code, shown = run(command, *flags, "--out", tmp_path / "out")
    finally:
        done.set()
        other.join()
    assert code == 1
    assert "no other process works in" in shown
    assert f"process {other.pid}" in shown
