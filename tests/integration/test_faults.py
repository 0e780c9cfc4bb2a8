"""Faults found by hostile and by ordinary use on dec9c62, each with what is right; those not mended yet fail, strictly.

Each test is named after its item in the issue "Nothing silent" (A: wrong numbers, B: lost results, C: code from files,
D: crashes and messages). Who mends one takes its mark away. A mark names the exceptions by which the fault shows, so
that a test that breaks in another way is seen.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import os
import re
import resource
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, fcc100, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from torch_geometric.data import Batch, Data

from pyg_mpnn import (
    Contraction,
    DensityPowers,
    DirectionalDensity,
    ExpNormalBasis,
    PolynomialCutoff,
    Potential,
    PotentialCalculator,
    RadiusGraph,
    load_potential,
    neighbor_list,
)
from pyg_mpnn.cli import main
from pyg_mpnn.data import QM9

ROOT = Path(__file__).parents[2]
TINY = {"hidden_channels": 8, "edge_dim": 8, "channels": 2, "l_max": 1, "num_layers": 1}
TRAIN = [
    "--size",
    "small",
    "--device",
    "cpu",
    "--epochs",
    "1",
    "--batch-size",
    "4",
    "--compile",
    "off",
    "--threads",
    "1",
]
TRAIN += [word for name, value in TINY.items() for word in (f"--model.{name}", str(value))]


def fault(reason: str, *raises: type[BaseException]) -> pytest.MarkDecorator:
    """What dec9c62 does, and the exceptions by which the test shows it."""
    return pytest.mark.xfail(strict=True, reason=reason, raises=(AssertionError, *raises))


def refusal(call: Callable[[], Any]) -> str:
    """The message of the error that a call ends in; nothing where it is accepted."""
    try:
        call()
    except (ValueError, TypeError) as error:
        return str(error)
    return ""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A saved potential of water and copper with random weights."""
    torch.manual_seed(0)
    potential = Potential.from_size("small", **TINY)
    potential.set_reference({1: -13.6, 8: -2041.8, 29: -45000.0, 47: -100.0}, 1.0, [8.0])
    potential.save(tmp_path / "model.pt")
    return tmp_path / "model.pt"


def water(count: int = 12, **info: Any) -> list[Atoms]:
    """Distorted molecules with energies and forces of springs."""
    draw = np.random.default_rng(0)
    frames = []
    for _ in range(count):
        frame = molecule("H2O")
        shift = 0.1 * draw.normal(size=(3, 3))
        shift -= shift.mean(0)
        frame.positions += shift
        labels = {"energy": -2069.0 + 5.0 * float((shift**2).sum()), "forces": -10.0 * shift}
        frame.calc = SinglePointCalculator(frame, **labels)
        frame.info.update(info)
        frames.append(frame)
    return frames


def copper(count: int = 8, *, forces: bool = True, stress: bool = True) -> list[Atoms]:
    """Strained cells whose forces are zero by symmetry."""
    frames = []
    for k in range(count):
        frame = bulk("Cu", cubic=True)
        strain = 0.01 * (k - count // 2)
        frame.set_cell(frame.cell * (1 + strain), scale_atoms=True)
        labels: dict[str, Any] = {"energy": -14.8 + 150.0 * strain**2}
        labels |= {"forces": np.zeros((4, 3))} if forces else {}
        labels |= {"stress": 300.0 * strain / frame.get_volume() / 3 * np.array([1.0, 1, 1, 0, 0, 0])} if stress else {}
        frame.calc = SinglePointCalculator(frame, **labels)
        frames.append(frame)
    return frames


def rattled(count: int = 8) -> list[Atoms]:
    """Copper off its sites, with forces."""
    draw, frames = np.random.default_rng(1), copper(count)
    for frame in frames:
        shift = 0.05 * draw.normal(size=(4, 3))
        results = {**frame.calc.results, "forces": -8.0 * (shift - shift.mean(0))}
        frame.positions += shift
        frame.calc = SinglePointCalculator(frame, **results)
    return frames


def write(path: Path, frames: list[Atoms]) -> Path:
    ase.io.write(path, frames, format="extxyz")
    return path


def triangle(dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    frame = molecule("H2O")
    return torch.tensor(frame.numbers), torch.tensor(frame.positions, dtype=dtype)


@contextlib.contextmanager
def small_disk(size: int) -> Iterator[None]:
    """No file may become longer than so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def in_a_process(code: str, *arguments: object, seconds: int = 4) -> tuple[int, str]:
    """Exit code and errors of Python code in a process of its own, which ends after some seconds of computing."""
    start = f"""
    import resource, sys, time, torch
    from pyg_mpnn import Potential, neighbor_list
    resource.setrlimit(resource.RLIMIT_CPU, 2 * (int(time.process_time()) + {seconds},))
    """
    command = [sys.executable, "-c", textwrap.dedent(start) + textwrap.dedent(code), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600, cwd=ROOT)
    return done.returncode, done.stderr


# A. Wrong numbers


@pytest.mark.parametrize("distance", [1e4, 1e6])
def test_a2_translation_in_float32(distance: float) -> None:
    potential = Potential.from_size("small", **TINY).eval()
    z, pos = triangle()
    expected = potential(z, pos).forces
    error = (potential(z, pos + distance).forces - expected).abs().max() / expected.abs().max()
    assert error < 1e-4


def test_a2_translation_of_the_calculator() -> None:
    atoms = molecule("H2O", calculator=PotentialCalculator(Potential.from_size("small", **TINY)))
    expected = atoms.get_forces()
    atoms.positions += 1e4
    assert np.abs(atoms.get_forces() - expected).max() < 1e-4 * np.abs(expected).max()


def test_a3_isolated_atoms_have_the_energies_given(run: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    data = write(tmp_path / "water.xyz", water())
    code, shown = run(
        "train", "--data", data, "--out", tmp_path / "run", "--isolated", "{1: -13.6, 8: -2041.8}", *TRAIN
    )
    assert code == 0, shown
    potential = load_potential(tmp_path / "run" / "best.ckpt")
    energy = potential(torch.tensor([1]), torch.zeros(1, 3)).energy.item()
    assert energy == pytest.approx(-13.6, abs=1e-4)


def test_a3_isolated_atoms_in_the_data_set_the_references(run: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    atoms = [Atoms(symbol) for symbol in ("H", "O")]
    for frame, energy in zip(atoms, (-13.6, -2041.8), strict=True):
        frame.calc = SinglePointCalculator(frame, energy=energy, forces=np.zeros((1, 3)))
        frame.info["config_type"] = "IsolatedAtom"
    data = write(tmp_path / "water.xyz", [*atoms, *water(20)])
    code, shown = run("train", "--data", data, "--out", tmp_path / "run", *TRAIN, "--valid-size", "4")
    assert code == 0, shown
    reference = load_potential(tmp_path / "run" / "best.ckpt").atomwise.reference
    assert reference[[1, 8]].tolist() == pytest.approx([-13.6, -2041.8])


def slab() -> Atoms:
    layer = fcc100("Cu", (1, 1, 2), vacuum=12.0)
    layer.positions[1] += [0.1, 0.05, 0.02]
    return layer


def test_a3_elements_without_their_isolated_atom_are_said(run: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    data = write(tmp_path / "water.xyz", water())
    given = ["--isolated", "{1: -13.6, 29: -45000}"]
    code, shown = run("train", "--data", data, "--out", tmp_path / "run", *TRAIN, *given)
    assert code == 0
    assert "are not used of elements in no training structure: [29]" in shown
    assert "get a fitted one: [8]" in shown


def test_a4_stress_of_a_slab() -> None:
    potential = Potential.from_size("small", **TINY).double().eval()
    atoms = slab()
    z, pos, cell = torch.tensor(atoms.numbers), torch.tensor(atoms.positions), torch.tensor(atoms.cell.array)[None]
    in_vacuum = potential(z, pos, cell=cell, pbc=torch.ones(1, 3, dtype=torch.bool), stress=True)
    found = potential(z, pos, cell=cell, pbc=torch.tensor([[True, True, False]]), stress=True)
    torch.testing.assert_close(found.stress[:, :2, :2], in_vacuum.stress[:, :2, :2])


def test_a4_stress_of_a_slab_from_the_calculator() -> None:
    atoms = slab()
    atoms.pbc = [True, True, False]
    atoms.calc = PotentialCalculator(Potential.from_size("small", **TINY))
    assert np.abs(atoms.get_stress()[:2]).min() > 0


def test_a5_autocast() -> None:
    potential = Potential.from_size("small", **TINY).eval()
    z, pos = triangle(torch.float32)
    expected = potential(z, pos)
    with torch.autocast("cpu", torch.bfloat16):
        try:
            found = potential(z, pos)
        except (ValueError, TypeError, RuntimeError) as error:
            assert "autocast" in str(error)  # noqa: PT017 (it may be refused)
            return
    torch.testing.assert_close(found.forces, expected.forces)


def flip(path: Path, name: str) -> None:
    """Flip the highest bit of the exponent of one weight in a saved file."""
    content = bytearray(path.read_bytes())
    weights = torch.load(path, weights_only=True)["state_dict"][name].numpy().tobytes()
    place = content.index(weights)
    content[place + 3] ^= 0x40
    path.write_bytes(bytes(content))


def test_a6_flipped_bit(model: Path) -> None:
    flip(model, "atomwise.heads.0.linears.0.weight")
    assert refusal(lambda: load_potential(model))


def with_nan(model: Path) -> Path:
    content = torch.load(model, weights_only=True)
    content["state_dict"]["atomwise.heads.0.linears.0.weight"][0, 0] = torch.nan
    torch.save(content, model)
    return model


@pytest.mark.parametrize("command", ["predict", "evaluate", "md", "relax"])
def test_a6_nan_weights(command: str, run: Callable[..., tuple[int, str]], model: Path, tmp_path: Path) -> None:
    data = write(tmp_path / "water.xyz", water(2))
    where = {"evaluate": ["--data", data]}.get(command, ["--structure", data, "--out", tmp_path / "out.xyz"])
    more = ["--steps", "2", *(["--timestep", "0.5", "--temperature", "300"] if command == "md" else [])]
    flags = [*where, *(more if command in ("md", "relax") else [])]
    code, shown = run(command, "--model", with_nan(model), *flags)
    assert code == 1
    assert "model.pt" in shown
    assert "timestep" not in shown


@pytest.mark.parametrize("missing", ["config", "weight"])
def test_a6_incomplete_file(missing: str, run: Callable[..., tuple[int, str]], model: Path, tmp_path: Path) -> None:
    content = torch.load(model, weights_only=True)
    del content["pyg_mpnn" if missing == "config" else "state_dict"][
        "config" if missing == "config" else "atomwise.scale"
    ]
    torch.save(content, model)
    code, shown = run("evaluate", "--model", model, "--data", write(tmp_path / "water.xyz", water(2)))
    assert code == 1
    assert "model.pt" in shown


def test_a7_edges_within_a_shorter_cutoff() -> None:
    potential = Potential.from_size("small", **TINY).eval()
    z, pos = triangle(torch.float32)
    assert "cutoff" in refusal(lambda: potential(RadiusGraph(1.2)(Data(z=z, pos=pos))))
    batch = Batch.from_data_list([RadiusGraph(1.2)(Data(z=z, pos=pos)) for _ in range(2)])
    assert "cutoff" in refusal(lambda: potential(batch))


def test_a7_edges_between_structures() -> None:
    potential = Potential.from_size("small", **TINY).eval()
    z, pos = triangle(torch.float32)
    z, pos, batch = torch.cat([z, z]), torch.cat([pos, pos + 2.0]), torch.tensor([0, 0, 0, 1, 1, 1])
    edges = neighbor_list(pos, 5.0)  # of all six atoms
    message = refusal(lambda: potential(z, pos, batch=batch, edge_index=edges.edge_index, shifts=edges.shifts))
    assert "edge_index" in message


def test_a7_fractional_shifts() -> None:
    potential = Potential.from_size("small", **TINY).eval()
    atoms = bulk("Cu")
    z, pos, cell = (torch.tensor(value) for value in (atoms.numbers, atoms.positions, atoms.cell.array))
    pbc = torch.tensor([True, True, True])
    edges = neighbor_list(pos, 5.0, cell=cell, pbc=pbc)
    options = {"cell": cell[None], "pbc": pbc[None], "edge_index": edges.edge_index}
    assert "shifts" in refusal(lambda: potential(z, pos, shifts=edges.shifts + 0.5, **options))


def test_a8_types_of_a_dump_are_no_elements(run: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    draw, lines = np.random.default_rng(0), []
    for step in range(12):
        lines += ["ITEM: TIMESTEP", str(step), "ITEM: NUMBER OF ATOMS", "4", "ITEM: BOX BOUNDS pp pp pp"]
        lines += ["0 3.61"] * 3 + ["ITEM: ATOMS id type x y z fx fy fz"]
        sites = bulk("Cu", a=3.61, cubic=True).positions + 0.05 * draw.normal(size=(4, 3))
        for k, (site, force) in enumerate(zip(sites, draw.normal(size=(4, 3)), strict=True)):
            lines.append(" ".join(map(str, [k + 1, 2 if k == 0 else 1, *site, *force])))
    data = tmp_path / "copper.lammpstrj"
    data.write_text("\n".join(lines) + "\n")
    code, shown = run("train", "--data", data, "--out", tmp_path / "run", *TRAIN)
    assert code == 1
    assert "type" in shown
    assert not (tmp_path / "run").exists()


def test_a8_name_of_a_file_is_no_selection(run: Callable[..., tuple[int, str]], model: Path, tmp_path: Path) -> None:
    write(tmp_path / "a.xyz", water(1))
    write(tmp_path / "a.xyz@0", copper(3))
    code, shown = run("predict", "--model", model, "--structures", tmp_path / "a.xyz@0", "--out", tmp_path / "out.xyz")
    assert code == 0, shown
    assert [len(frame) for frame in ase.io.read(tmp_path / "out.xyz", ":")] == [4, 4, 4]


def arrays_of_md17(**changes: Any) -> dict[str, Any]:
    frames = water()
    held = {"z": frames[0].numbers, "R": np.array([frame.positions for frame in frames])}
    held["E"] = np.array([[frame.calc.results["energy"]] for frame in frames])
    held["F"] = np.array([frame.calc.results["forces"] for frame in frames])
    return {**held, **changes}


def test_a8_fractional_atomic_numbers(run: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", **arrays_of_md17(z=np.array([6.5, 1.0, 1.0])))
    code, shown = run("inspect", "--data", tmp_path / "data.npz", "--steps", "0")
    assert code == 1
    assert "6.5" in shown


def test_a8_lattice_of_an_npz(run: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", **arrays_of_md17(lattice=8.0 * np.eye(3)))
    _, shown = run("inspect", "--data", tmp_path / "data.npz", "--steps", "0")
    assert re.search("lattice|12 periodic", shown)


def test_a8_all_weights_zero(run: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    data = write(tmp_path / "water.xyz", water(config_weight=0.0))
    code, shown = run("train", "--data", data, "--out", tmp_path / "run", *TRAIN)
    assert code == 1
    assert "weight" in shown


def test_a8_all_energies_equal(run: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    frames = water()
    for frame in frames:
        frame.calc.results["energy"] = 0.0
    code, shown = run("train", "--data", write(tmp_path / "water.xyz", frames), "--out", tmp_path / "run", *TRAIN)
    assert code == 1
    assert "energ" in shown


@pytest.mark.parametrize("flag", ["--stress-key", "--virial-key"])
def test_a9_typo_in_the_name_of_the_stress(flag: str, run: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    data = write(tmp_path / "copper.xyz", rattled())
    keys = ["--energy-key", "energy", "--forces-key", "forces", flag, "sterss"]
    code, shown = run("train", "--data", data, "--out", tmp_path / "run", *keys, *TRAIN)
    assert code == 1
    assert "sterss" in shown


def test_a9_mixed_labels(run: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    frames = rattled(12)
    for frame in frames[:8]:
        frame.info["REF_energy"] = frame.calc.results["energy"]
        frame.arrays["REF_forces"] = frame.calc.results["forces"]
        frame.calc = None
    code, shown = run("train", "--data", write(tmp_path / "copper.xyz", frames), "--out", tmp_path / "run", *TRAIN)
    assert code == 1
    assert {"REF_energy", "--energy-key", "8", "4"} <= set(re.findall(r"[\w-]+", shown))


def test_a9_virials(run: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    frames = rattled()
    for frame in frames:
        voigt = frame.calc.results.pop("stress")
        frame.info["virials"] = -voigt[[0, 5, 4, 5, 1, 3, 4, 3, 2]].reshape(3, 3) * frame.get_volume()
    _, shown = run("inspect", "--data", write(tmp_path / "copper.xyz", frames), "--steps", "0")
    assert "virials" in shown


def test_a9_zero_forces(run: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    code, shown = run("train", "--data", write(tmp_path / "cu.xyz", copper(16)), "--out", tmp_path / "run", *TRAIN)
    assert code == 0, shown


def test_a9_energies_alone(run: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    data = write(tmp_path / "copper.xyz", copper(16, forces=False, stress=False))
    code, shown = run("train", "--data", data, "--out", tmp_path / "run", *TRAIN)
    assert code == 0, shown


def test_a9_units_by_flag(run: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    data = write(tmp_path / "water.xyz", water())
    code, shown = run("inspect", "--data", data, "--steps", "0", "--energy-unit", "hartree", "--length-unit", "bohr")
    assert code == 0, shown


def test_a10_outlier(run: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    frames = water(20)
    frames[7].calc.results["forces"][0, 0] = 1e5
    _, shown = run("train", "--data", write(tmp_path / "water.xyz", frames), "--out", tmp_path / "run", *TRAIN)
    assert re.search(r"\b7\b.*(force|outlier)|(force|outlier).*\b7\b", shown, flags=re.IGNORECASE)


def test_a10_copies(run: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    data = write(tmp_path / "water.xyz", 6 * water(6))
    _, shown = run("train", "--data", data, "--out", tmp_path / "run", *TRAIN)
    assert re.search(r"duplicate|copies|cop(y|ied)|same structure", shown, flags=re.IGNORECASE)


def test_a11_calculator_after_a_failed_call() -> None:
    calculator = PotentialCalculator(Potential.from_size("small", **TINY))
    calculator.calculate(molecule("H2O"), ["energy", "forces"])
    bad = molecule("H2O")
    bad.positions[0, 0] = np.nan
    with pytest.raises(ValueError, match="finite"):
        calculator.calculate(bad, ["energy"])
    assert "energy" not in calculator.results


@pytest.mark.parametrize(
    ("command", "flags", "result"),
    [
        ("predict", [], "out.xyz"),
        ("md", ["--steps", "2", "--timestep", "0.5", "--temperature", "300"], "out/trajectory.traj"),
        ("relax", ["--fmax", "1e9"], "out/relaxed.extxyz"),
    ],
    ids=["predict", "md", "relax"],
)
def test_a11_empty_line(
    command: str, flags: list[str], result: str, run: Callable[..., tuple[int, str]], model: Path, tmp_path: Path
) -> None:
    """An error, or what the file without the line gives."""
    found = {}
    for name, line in (("whole", ""), ("cut", "\n")):
        (tmp_path / name).mkdir()
        data = tmp_path / name / "water.xyz"
        first, rest = (write(tmp_path / name / "part.xyz", part).read_text() for part in (water(1), water(6)[1:]))
        data.write_text(first + line + rest)
        out = tmp_path / name / Path(result).parts[0]
        code, shown = run(command, "--model", model, "--structure", data, "--out", out, *flags)
        assert code == 0 or name == "cut", shown
        if code == 0:
            found[name] = ase.io.read(tmp_path / name / result, ":")
    if "cut" in found:
        assert len(found["cut"]) == len(found["whole"])
        assert np.array_equal(found["cut"][0].positions, found["whole"][0].positions)


@pytest.mark.slow
def test_a12_zbl_by_argument_of_the_model(run: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    data = write(tmp_path / "water.xyz", water())
    flags = ["--data", data, "--out", tmp_path / "run", *TRAIN]
    code, shown = run("train", *flags, "--model.zbl", "true")
    if code == 0 and "--zbl" not in shown:
        found = load_potential(tmp_path / "run" / "best.ckpt").zbl.radii
        code, shown = run("train", *flags[:2], "--out", tmp_path / "flag", *TRAIN, "--zbl")
        assert code == 0, shown
        expected = load_potential(tmp_path / "flag" / "best.ckpt").zbl.radii
        torch.testing.assert_close(found, expected, equal_nan=True)


# B. Lost results


def test_b_report_over_the_model(run: Callable[..., tuple[int, str]], model: Path, tmp_path: Path) -> None:
    before = model.read_bytes()
    code, shown = run("evaluate", "--model", model, "--data", write(tmp_path / "w.xyz", water(2)), "--json", model)
    assert model.read_bytes() == before
    assert code == 1
    assert "json" in shown


def test_b_report_over_the_data(run: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    data = write(tmp_path / "water.xyz", water())
    before = data.read_bytes()
    code, shown = run("inspect", "--data", data, "--steps", "0", "--json", data)
    assert data.read_bytes() == before
    assert code == 1
    assert "json" in shown


def test_b_full_disk_keeps_the_older_report(run: Callable[..., tuple[int, str]], model: Path, tmp_path: Path) -> None:
    data, report = write(tmp_path / "water.xyz", water(2)), tmp_path / "report.json"
    report.write_text(json.dumps({"of": "before", "numbers": list(range(100))}))
    before = report.read_text()
    with small_disk(100):
        code, shown = run("evaluate", "--model", model, "--data", data, "--json", report)
    assert report.read_text() == before
    assert code == 1, shown


def test_b_full_disk_ends_a_training_in_a_line(run: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    data = write(tmp_path / "water.xyz", water())
    with small_disk(30_000):
        code, shown = run("train", "--data", data, "--out", tmp_path / "run", *TRAIN)
    assert code == 1
    assert "ckpt" in shown
    assert not list((tmp_path / "run").glob("*.partial"))


@pytest.mark.slow
def test_b_two_trainings_in_one_folder(
    run: Callable[..., tuple[int, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second starts while the first reads its structures."""
    data, codes = write(tmp_path / "water.xyz", water()), []
    read, flags = ase.io.iread, ["train", "--data", data, "--out", tmp_path / "run", *TRAIN]

    def start_another(*arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(ase.io, "iread", read)
        codes.append(run(*flags, "--seed", "1")[0])
        return read(*arguments, **options)

    monkeypatch.setattr(ase.io, "iread", start_another)
    with contextlib.suppress(SystemExit):
        codes.append(run(*flags)[0])
    assert sorted(codes) == [0, 1]


# C. Code from files


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.path, "code has run")


@pytest.mark.parametrize("name", ["processed/pre_transform.pt", "processed/data_v3.pt", "raw/qm9_v3.pt"])
@pytest.mark.filterwarnings("ignore")
def test_c_code_in_a_folder_of_qm9(name: str, tmp_path: Path) -> None:
    root, mark = tmp_path / "qm9", tmp_path / "mark"
    for file in ("raw/qm9_v3.pt", "processed/data_v3.pt"):
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        if not name.startswith("raw") or file.startswith("raw"):
            torch.save(None, root / file)
    torch.save(Bomb(mark), root / name)
    with contextlib.suppress(Exception):
        QM9(root, "gap", download=False)
    assert not mark.exists()


# D. Crashes and messages


@pytest.mark.slow
@pytest.mark.parametrize(
    "call",
    [
        "neighbor_list(pos, 5.0, cell=torch.diag(torch.tensor([8.0, 8.0, 1e6])), pbc=torch.ones(3) > 0)",
        "Potential.from_size('small', cutoff=1e4)(torch.ones(9).long(), pos, cell=8.0 * torch.eye(3)[None], "
        "pbc=torch.ones(1, 3) > 0)",
    ],
    ids=["long cell", "large cutoff"],
)
def test_d_extreme_cells(call: str) -> None:
    code = f"""
    pos = 2.0 * torch.cartesian_prod(*3 * [torch.arange(3.0)])[:9]
    try:
        {call}
    except ValueError as error:
        assert "'cutoff'" in str(error) or "'cell'" in str(error)
    """
    returned, shown = in_a_process(code)
    assert returned == 0, shown


@pytest.mark.parametrize("command", ["evaluate", "inspect", "check", "predict"])
def test_d_threads_0(command: str, run: Callable[..., tuple[int, str]], model: Path, tmp_path: Path) -> None:
    data = write(tmp_path / "water.xyz", water(2))
    flags = {
        "evaluate": ["--model", model, "--data", data],
        "inspect": ["--data", data, "--steps", "0"],
        "check": ["--model", model, "--structures", data],
        "predict": ["--model", model, "--structures", data, "--out", tmp_path / "out.xyz"],
    }
    code, shown = run(command, *flags[command], "--threads", "0")
    assert code == 1
    assert "'threads'" in shown


def test_d_batch_size_0(run: Callable[..., tuple[int, str]], model: Path, tmp_path: Path) -> None:
    data = write(tmp_path / "water.xyz", water(2))
    code, shown = run("evaluate", "--model", model, "--data", data, "--batch-size", "0")
    assert code == 1
    assert "'batch_size'" in shown


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_d_torch_compile() -> None:
    pytest.importorskip("torch_cluster")
    potential = Potential.from_size("small", **TINY).eval()
    z, pos = triangle(torch.float32)
    expected = potential(z, pos)
    compiled = torch.compile(copy.deepcopy(potential), backend="eager")
    try:
        found = compiled(z, pos)
    except Exception as error:
        assert "potential.compile()" in str(error)  # noqa: PT017 (it may be refused)
        return
    torch.testing.assert_close(found.forces, expected.forces)


def test_d_newer_format(model: Path) -> None:
    content = torch.load(model, weights_only=True)
    content["pyg_mpnn"]["format"] = 99
    torch.save(content, model)
    message = refusal(lambda: load_potential(model)).replace(str(model), "")
    assert "newer" in message
    assert "train again" not in message


def test_d_closed_stderr(run: Callable[..., tuple[int, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError("closed")

    data = write(tmp_path / "water.xyz", water())
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", Closed())
        code = main([str(word) for word in ("train", "--data", data, "--out", tmp_path / "run", *TRAIN)])
    assert code == 0


@pytest.mark.parametrize(
    ("build", "argument"),
    [
        (lambda: PolynomialCutoff(5.0, p=float("nan")), "p"),
        (lambda: PolynomialCutoff(5.0, p=float("inf")), "p"),
        (lambda: ExpNormalBasis(5.0, 8, alpha=float("inf")), "alpha"),
        (lambda: DirectionalDensity(8, 4, 5, 2, nu=float("inf")), "nu"),
        (lambda: Contraction("x"), "l_max"),
        (lambda: Contraction(None), "l_max"),
        (lambda: Contraction(float("nan")), "l_max"),
        (lambda: Contraction(-1), "l_max"),
        (lambda: DensityPowers(4, -1, 4), "l_max"),
        (lambda: Potential.from_size("small", **{**TINY, "hidden_channels": True}), "hidden_channels"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_d_wrong_values_of_constructors(build: Callable[[], Any], argument: str) -> None:
    assert f"'{argument}'" in refusal(build)


def test_d_one_evaluation_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    calculator, calls = PotentialCalculator(Potential.from_size("small", **TINY)), []
    forward = calculator.potential.forward
    monkeypatch.setattr(calculator.potential, "forward", lambda *args, **kw: calls.append(1) or forward(*args, **kw))
    atoms = bulk("Cu", cubic=True)
    atoms.calc = calculator
    atoms.get_potential_energy()
    atoms.get_forces()
    atoms.get_stress()
    assert len(calls) == 1


@pytest.mark.long
def test_d_shortened_store(run: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    data = write(tmp_path / "water.xyz", water(60))
    flags = ["train", "--data", data, "--stream", *TRAIN]
    code, shown = run(*flags, "--out", tmp_path / "first")
    assert code == 0, shown
    store = next(tmp_path.rglob("data.mdb"))
    with open(store, "r+b") as file:
        file.truncate(store.stat().st_size // 2)
    code = "from pyg_mpnn.cli import main\nsys.exit(main(sys.argv[1:]))"
    returned, shown = in_a_process(code, *flags, "--out", tmp_path / "second", seconds=60)
    assert returned == 1, shown
    assert str(store.parent.name) in shown


@pytest.mark.long
def test_d_unicode_path_without_a_locale(tmp_path: Path) -> None:
    """Paths are bytes there, which Python gives as surrogates: the model card was lost after the training."""
    data, out = write(tmp_path / "water.xyz", water()), tmp_path / "\u00fcn\u00ef"
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-m", "pyg_mpnn", "train", "--data", str(data), "--out", str(out), *TRAIN]
    done = subprocess.run(command, capture_output=True, env=environment, cwd=ROOT, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "best.ckpt" in {path.name for path in out.iterdir()}
    assert str(data) in (out / "model_card.md").read_text(encoding="utf-8")
