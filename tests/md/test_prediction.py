from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule as build_molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from torch_geometric.data import Data

from pyg_mpnn import DipoleOutput, Potential, PotentialCalculator, ScalarOutput
from pyg_mpnn.deploy import CompilationError
from pyg_mpnn.md import run_prediction


@pytest.fixture
def mixed(molecule: Atoms, crystal: Atoms, tmp_path: Path) -> Path:
    """Molecules and crystals of different sizes by turns, with labels that are wrong and a group."""
    frames = [molecule, crystal, molecule[:5], crystal * (2, 1, 1), molecule]
    for k, atoms in enumerate(frames):
        frames[k] = atoms.copy()
        frames[k].rattle(0.05, seed=k)
        frames[k].info["group"] = f"g{k}"
        frames[k].info["REF_energy"] = -1.0
        frames[k].calc = SinglePointCalculator(frames[k], energy=5.0, forces=np.ones((len(atoms), 3)))
    write(tmp_path / "mixed.extxyz", frames)
    return tmp_path / "mixed.extxyz"


@pytest.mark.parametrize("batch_size", [2, 32])
def test_values_are_those_of_the_potential_in_order(
    batch_size: int, saved: Path, mixed: Path, tmp_path: Path, unchecked: None, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "out.xyz"
    assert run_prediction(saved, mixed, out, stress=True, batch_size=batch_size) == 5
    assert "5 structures with energy, forces, atom energies, stress (2 of them)" in capsys.readouterr().out
    for k, (found, given) in enumerate(zip(read(out, ":"), read(mixed, ":"), strict=True)):
        given.calc = PotentialCalculator(saved)
        results = found.calc.results
        assert found.info["group"] == f"g{k}"
        assert "REF_energy" not in found.info
        assert results["energy"] == pytest.approx(given.get_potential_energy(), abs=1e-9)
        assert results["forces"] == pytest.approx(given.get_forces(), abs=1e-8)  # eight decimals in the file
        assert results["energies"] == pytest.approx(given.calc.results["energies"], abs=1e-8)
        assert results["energies"].sum() == pytest.approx(results["energy"], abs=1e-6)
        assert ("stress" in results) == given.pbc.all()
        if given.pbc.all():
            assert results["stress"] == pytest.approx(given.get_stress(), abs=1e-9)


def test_dtype_is_that_of_the_potential_or_as_asked(saved: Path, mixed: Path, tmp_path: Path) -> None:
    potential = Potential.load(saved).float()
    potential.save(tmp_path / "float.pt")
    for dtype in (None, "float64"):
        run_prediction(tmp_path / "float.pt", mixed, tmp_path / f"{dtype}.xyz", dtype=dtype)
    atoms = read(mixed, 0)
    for dtype, expected in ((None, torch.float32), ("float64", torch.float64)):
        atoms.calc = PotentialCalculator(potential, dtype=expected)
        energy = read(tmp_path / f"{dtype}.xyz", 0).get_potential_energy()
        assert energy == pytest.approx(atoms.get_potential_energy(), abs=1e-5 if dtype is None else 1e-9)


@pytest.mark.slow
def test_shipped_structures(saved: Path, tmp_path: Path) -> None:
    assert run_prediction(saved, "ethanol", tmp_path / "out.xyz", batch_size=500) == 1000


def test_nothing_is_lost_and_nothing_half_written(saved: Path, mixed: Path, tmp_path: Path, unchecked: None) -> None:
    out = tmp_path / "out.xyz"
    out.write_text("mine")
    with pytest.raises(
        FileExistsError, match=r"'out' must be a new file, got .*: choose another name or say overwrite"
    ):
        run_prediction(saved, mixed, out)
    frames = read(mixed, ":")
    frames[3].numbers[0] = 79
    write(tmp_path / "gold.extxyz", frames)
    before = set(tmp_path.iterdir())
    with pytest.raises(ValueError, match=r"frame 3 of .*gold.extxyz: .*79"):
        run_prediction(saved, tmp_path / "gold.extxyz", out, overwrite=True, batch_size=2)
    assert out.read_text() == "mine"
    assert set(tmp_path.iterdir()) == before
    run_prediction(saved, mixed, out, overwrite=True)
    assert len(read(out, ":")) == 5


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"out": "out.cif"}, ValueError, "'out' must end in .xyz or .extxyz"),
        ({"batch_size": 0}, ValueError, "'batch_size' must be at least 1, got 0"),
        (
            {"structures": "absent.xyz"},
            FileNotFoundError,
            r"'structures' must be files or the word ethanol .*, got '.*absent.xyz'",
        ),
        (
            {"stress": True},
            ValueError,
            "'stress' needs a structure that is periodic in two or three directions, got none",
        ),
    ],
)
def test_errors(
    change: dict[str, object], error: type[Exception], message: str, saved: Path, molecule: Atoms, tmp_path: Path
) -> None:
    write(tmp_path / "molecule.xyz", molecule)
    given = {"model": saved, "structures": tmp_path / "molecule.xyz", "out": "out.xyz", **change}
    given["out"] = tmp_path / str(given["out"])
    with pytest.raises(error, match=message):
        run_prediction(**given)
    assert not given["out"].exists()


def test_file_that_cannot_be_read(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.xyz").write_text("3\n\nH 0 0 0\n")
    with pytest.raises(ValueError, match=r"'path' must be readable by ASE, got .* in .*broken.xyz"):
        run_prediction(saved, tmp_path / "broken.xyz", tmp_path / "out.xyz")


def test_input_is_never_the_output(saved: Path, mixed: Path) -> None:
    with pytest.raises(ValueError, match="'out' must not be a file that is read"):
        run_prediction(saved, mixed, mixed, overwrite=True)


def test_device_that_torch_does_not_know_is_an_error(saved: Path, mixed: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"'device' must be one that torch can use here, got 'gpu': use auto, cpu, cuda"
    ):
        run_prediction(saved, mixed, tmp_path / "out.xyz", device="gpu")
    assert not (tmp_path / "out.xyz").exists()


def test_compiles_on_request(saved: Path, mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(CompilationError, match="there is no C\\+\\+ compiler 'no-such-compiler'"):
        run_prediction(saved, mixed, tmp_path / "on.xyz", compile="on")
    assert not (tmp_path / "on.xyz").exists()
    with pytest.warns(UserWarning, match="not compiled: there is no C\\+\\+ compiler"):
        assert run_prediction(saved, mixed, tmp_path / "auto.xyz", compile="auto") == 5


def test_other_outputs_are_written_under_their_names(tmp_path: Path, unchecked: None) -> None:
    outputs = {"dipole": DipoleOutput(), "shift": ScalarOutput(level="atom"), "gap": ScalarOutput(extensive=False)}
    sizes = {"hidden_channels": 8, "edge_dim": 8, "channels": 2, "num_layers": 1}
    ion = build_molecule("OH")
    ion.info["charge"] = -1.0
    write(tmp_path / "in.extxyz", [build_molecule("H2O"), ion])
    for energy in (True, False):
        potential = Potential.from_size("small", **sizes, outputs=outputs, energy=energy).double().eval()
        potential.save(tmp_path / "model.pt")
        assert run_prediction(tmp_path / "model.pt", tmp_path / "in.extxyz", tmp_path / "o.xyz", overwrite=True) == 2
        water, charged = read(tmp_path / "o.xyz", ":")
        data = Data(z=torch.tensor(charged.numbers), pos=torch.tensor(charged.positions), charge=torch.tensor([-1.0]))
        expected = potential(data)
        assert charged.get_dipole_moment() == pytest.approx(expected.dipole[0].detach().numpy(), abs=1e-6)
        assert charged.arrays["shift"] == pytest.approx(expected["shift"].detach().numpy(), abs=1e-6)
        assert charged.info["gap"] == pytest.approx(expected.gap.item(), abs=1e-6)
        assert ("energy" in water.calc.results) == energy
