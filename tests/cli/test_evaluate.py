from __future__ import annotations

import json
from pathlib import Path

import ase.io
import pytest
from ase.calculators.singlepoint import SinglePointCalculator

from pyg_mpnn import Potential
from pyg_mpnn.cli import main
from pyg_mpnn.data import ethanol, to_atoms, to_data
from pyg_mpnn.units import GPA


@pytest.mark.slow
def test_evaluate_writes_the_promised_numbers(trained: Path, data: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = trained.parent / "new folder" / "errors.json"
    assert main(["evaluate", "--model", str(trained / "best.ckpt"), "--data", data, "--json", str(out)]) == 0
    assert "Errors on 10 structures" in capsys.readouterr().out
    found = json.loads(out.read_text())
    assert list(found) == [
        "n_structures",
        "energy_mae_meV",
        "energy_rmse_meV",
        "energy_mae_meV_per_atom",
        "forces_mae_meV_per_A",
        "forces_rmse_meV_per_A",
    ]
    card = json.loads((trained / "model_card.json").read_text())
    assert found["forces_mae_meV_per_A"] == pytest.approx(card["errors"]["test"]["forces_mae_meV_per_A"], rel=1e-6)


def test_evaluate_compiles_on_request(
    trained: Path, data: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    command = ["evaluate", "--model", str(trained / "best.ckpt"), "--data", data, "--compile"]
    assert main([*command, "on"]) == 1
    assert "there is no C++ compiler 'no-such-compiler'" in capsys.readouterr().err
    assert main([*command, "off"]) == 0


def test_evaluate_of_crystals_has_a_stress(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    atoms = to_atoms(ethanol("train")[0])
    atoms.set_cell([8.0, 8.0, 8.0])
    atoms.pbc = True
    results = {"energy": -4200.0, "forces": 0 * atoms.positions, "stress": [0.1, 0.1, 0.1, 0.0, 0.0, 0.0]}
    atoms.calc = SinglePointCalculator(atoms, **results)
    ase.io.write(tmp_path / "crystal.extxyz", atoms)
    command = ["evaluate", "--model", str(trained / "best.ckpt"), "--data", str(tmp_path / "crystal.extxyz")]
    assert main([*command, "--json", str(tmp_path / "errors.json")]) == 0
    found = json.loads((tmp_path / "errors.json").read_text())
    data = to_data(atoms)
    stress = Potential.load(trained / "best.ckpt")(data, stress=True).stress
    expected = (stress.double() - data.stress).abs().mean().item()
    assert found["stress_mae_meV_per_A3"] == pytest.approx(1e3 * expected, rel=1e-4)
    assert found["stress_mae_GPa"] == pytest.approx(expected / GPA, rel=1e-4)
    assert "stress MAE (GPa)" in capsys.readouterr().out


def test_labels_by_name(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames = [to_atoms(frame) for frame in ethanol("test")[:3]]
    for atoms in frames:
        atoms.info["dft_energy"], atoms.arrays["dft_forces"] = atoms.get_potential_energy() + 100.0, atoms.get_forces()
        atoms.calc = None
    ase.io.write(tmp_path / "named.extxyz", frames)
    command = ["evaluate", "--model", str(trained / "best.ckpt"), "--data", str(tmp_path / "named.extxyz")]
    assert main(command) == 1
    assert "so say what it is called (--energy-key, in Python" in capsys.readouterr().err
    keys = ["--energy-key", "dft_energy", "--forces-key", "dft_forces"]
    assert main([*command, *keys, "--json", str(tmp_path / "errors.json")]) == 0
    assert json.loads((tmp_path / "errors.json").read_text())["energy_mae_meV"] == pytest.approx(1e5, rel=0.2)
    assert main(["inspect", "--data", str(tmp_path / "named.extxyz"), "--test", "ethanol", "--steps", "0", *keys]) == 0
    assert main(["inspect", "--data", str(tmp_path / "named.extxyz"), "--steps", "0", *keys[:2]]) == 0
    assert "name it too (--forces-key" in " ".join(capsys.readouterr().out.split())
