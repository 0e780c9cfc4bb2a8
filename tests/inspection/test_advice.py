from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import ase.io
import pytest
import torch
from ase import Atoms, units
from ase.calculators.singlepoint import SinglePointCalculator
from torch_geometric.data import Data

from pyg_mpnn.cli import main
from pyg_mpnn.data import ethanol
from pyg_mpnn.inspection import Advice, Finding, advise, inspect_frames


def found(seconds: float, size: str = "base", **severities: Any) -> list[Finding]:
    numbers = {"isolated_atoms_eV": {}, "elements": ["Cu"], "rank": 1}
    return [
        Finding("composition", "ok", "", numbers),
        Finding("neighbours", "ok", "", {"mean": [12.0]}),
        Finding("training time", "ok", "", {"size": size, "seconds_per_step": seconds}),
        *(Finding(name, severity, "") for name, severity in severities.items()),
    ]


def crystals(atoms: list[int]) -> list[Data]:
    cell, pbc = torch.eye(3)[None], torch.ones(1, 3, dtype=torch.bool)
    return [Data(z=torch.full((n,), 29), forces=torch.zeros(n, 3), cell=cell, pbc=pbc) for n in atoms]


def test_size_and_minutes_follow_from_the_time_of_a_step() -> None:
    many = crystals([32] * 100)
    assert advise(many, found(0.1), [5.0]).flags == (
        *("--cutoff", "5", "--batch-size", "8", "--size", "base", "--minutes", "10"),
    )
    assert advise(many, found(0.3), [5.0]).flags[-4:] == ("--size", "base", "--minutes", "25")
    slow = advise(many, found(3.0), [5.0])
    assert slow.flags[-4:-2] == ("--size", "small")
    assert any("5000 steps of base would take 250 minutes" in reason for reason in slow.reasons)
    assert advise(crystals([4] * 20), found(0.1), [5.0]).flags[-4:-2] == ("--size", "small")


def test_batches_follow_from_the_sizes() -> None:
    assert advise(crystals([128] * 20), found(0.1), [4.0, 6.0]).flags[:5] == ("--cutoff", "4", "6", "--batch-size", "2")
    assert advise(crystals([4] * 19 + [64]), found(0.1), [5.0]).flags[2:4] == ("--batch-atoms", "64")


def test_reasons_name_what_lacks() -> None:
    text = " ".join(advise(crystals([32] * 20), found(0.1, outliers="warning"), [5.0]).reasons)
    for words in ("without stresses: pressures will be guesses", "ZBL", "Look at the outliers first"):
        assert words in text
    frames = inspect_frames(ethanol("train")[:50], size="small", steps=0).advice
    assert any("isolated atoms of H, C, O: --isolated takes a file" in reason for reason in frames.reasons)
    assert any("Loss weights are left as they are: forces 1, energy 0.1" in reason for reason in frames.reasons)
    assert any("was not measured" in reason for reason in frames.reasons)


def test_few_structures_are_named() -> None:
    few, many = (" ".join(advise(crystals([32] * count), found(0.1), [5.0]).reasons) for count in (6, 60))
    assert "6 structures are few" in few
    assert "are few" not in many


def test_units_are_converted_before_the_training() -> None:
    def advised(energy: str, force: str | None, both: str = "ok", distances: str = "") -> Advice:
        checks = [
            Finding("unit of the energies", "ok" if energy == "eV" else "warning", "", {"unit": energy}),
            Finding("forces against energies", both, ""),  # type: ignore[arg-type]
            Finding("distances", "warning" if distances else "ok", distances),
        ]
        if force:
            of_force = Finding("unit of the forces", "ok" if force == "eV/A" else "warning", "", {"unit": force})
            checks.append(of_force)
        return advise(crystals([32] * 60), [*found(0.1), *checks], [5.0])

    given = {"data": ["a b.xyz", "c.npz"], "test": "t.db", "energy_key": "dft", "energy_unit": None}
    lines = advised("hartree", "hartree/A").commands(given)
    assert lines[:3] == [
        f"pyg-mpnn convert {source} --energy-unit hartree --energy-key dft"
        for source in ("'a b.xyz' 'a b-eV.xyz'", "c.npz c-eV.xyz", "t.db t-eV.xyz")
    ]
    assert lines[3].startswith("pyg-mpnn train --data 'a b-eV.xyz' c-eV.xyz --test t-eV.xyz --cutoff 5")
    assert advised("hartree", None, distances="likely in BOHR").units == (
        *("--energy-unit", "hartree", "--length-unit", "bohr"),
    )
    alike = advised("hartree", "hartree/A").commands({"data": ["./a.xyz", "a.npz"], "test": ["./a.xyz", "b/a.db"]})
    assert [line.split()[2:4] for line in alike[:-1]] == [
        *(["./a.xyz", "a-eV.xyz"], ["a.npz", "a.npz-eV.xyz"], ["b/a.db", "b/a-eV.xyz"]),
    ], "no file is written over another one"
    assert "--data a-eV.xyz a.npz-eV.xyz --test a-eV.xyz b/a-eV.xyz" in alike[-1]
    right = advised("eV", "eV/A")
    assert (right.units, right.mend, len(right.commands(given))) == ((), (), 1)
    for wrong in (advised("hartree", "hartree/bohr"), advised("hartree", "eV/A", "warning"), advised("rydberg", None)):
        assert (wrong.units, len(wrong.commands(given))) == ((), 1)
        assert "unit of the energies" in wrong.mend
        assert any(
            "energies in hartree times 27.211, forces in hartree/bohr times 51.422" in of for of in wrong.reasons
        )
    assert advised("eV", "eV/A", "warning").mend == ("forces against energies",)


def test_advice_on_data_in_hartree_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    scale = units.Hartree
    for frame in (frames := ethanol("train")[:60]):
        frame.energy, frame.forces = frame.energy / scale, frame.forces / scale
    atoms = [Atoms(of.z.numpy(), of.pos.numpy()) for of in frames]
    for one, of in zip(atoms, frames, strict=True):
        one.calc = SinglePointCalculator(one, energy=float(of.energy), forces=of.forces.numpy())
    ase.io.write("e.xyz", atoms)
    assert main(["inspect", "--data", "e.xyz", "--steps", "0"]) == 0
    shown = capsys.readouterr().out
    lines = [shlex.split(line) for line in shown.splitlines() if line.strip().startswith("pyg-mpnn")]
    assert "Advised, in this order:" in shown
    assert lines[0] == ["pyg-mpnn", "convert", "e.xyz", "e-eV.xyz", "--energy-unit", "hartree"]
    assert main(lines[0][1:]) == 0
    seen: list[Any] = []
    monkeypatch.setattr("pyg_mpnn.cli.train.train", seen.append)
    main(lines[1][1:])
    (settings,) = seen
    assert settings.data == "e-eV.xyz"
    capsys.readouterr()
    assert main(["inspect", "--data", "e-eV.xyz", "--steps", "0"]) == 0
    assert "CONVERT" not in capsys.readouterr().out
    assert main(["inspect", "--data", "e.xyz", "--steps", "0", "--energy-key", "energy"]) == 0
    shown = capsys.readouterr().out
    assert "convert e.xyz e-eV.xyz --energy-unit hartree --energy-key energy" in shown
    assert "was given" not in shown
    assert main(["inspect", "--data", "e.xyz", "--steps", "0", "--energy-unit", "kJ/mol"]) == 0
    assert "- --energy-unit kJ/mol was given: if the file is in other units, leave it out" in capsys.readouterr().out


def test_units_of_the_shipped_sample_cannot_be_given(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "--data", "ethanol", "--steps", "0", "--energy-unit", "hartree"]) == 0
    assert "sample has names and units of its own: energy_unit, given, does not count" in capsys.readouterr().out
    assert main(["inspect", "--data", "ethanol", "--steps", "0"]) == 0
    assert "does not count" not in capsys.readouterr().out


def test_command_is_what_a_shell_takes() -> None:
    advice = Advice(("--size", "base"), ())
    given = {"data": ["a b.xyz", "c.db"], "test": None, "energy_key": "dft energy"}
    assert advice.command(given) == (
        "pyg-mpnn train --data 'a b.xyz' c.db --energy-key 'dft energy' --size base --out run"
    )


@pytest.mark.long
def test_the_command_that_is_advised_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["convert", "ethanol", str(tmp_path / "e.xyz")]) == 0
    flags = ["--data", str(tmp_path / "e.xyz"), "--size", "small", "--steps", "1", "--json", str(tmp_path / "f.json")]
    assert main(["inspect", *flags]) == 0
    shown = capsys.readouterr().out
    line = next(line.strip() for line in shown.splitlines() if line.strip().startswith("pyg-mpnn train"))
    assert "--learning-curve trains" in shown
    assert json.loads((tmp_path / "f.json").read_text())["advice"]["flags"]
    seen: list[Any] = []
    monkeypatch.setattr("pyg_mpnn.cli.train.train", seen.append)
    main(line.split()[1:])
    assert (seen[0].size, seen[0].out) == ("small", "run")


def test_a_unit_that_forces_alone_cannot_tell_is_no_command() -> None:
    """Kcal/mol and kJ/mol are a factor of 4 apart, bonds differ more: N2 in one looks like ethanol in the other."""
    could_be = {"unit": "kJ/mol/A", "could_be": ["kcal/mol/A", "kJ/mol/A"]}
    forces = Finding("unit of the forces", "warning", "", could_be)
    alone = advise(crystals([32] * 60), [*found(0.1), Finding("unit of the energies", "ok", ""), forces], [5.0])
    assert alone.units == ()
    assert alone.mend == ("unit of the forces",)
    assert any("only: kcal/mol or kJ/mol. Look up which" in reason for reason in alone.reasons)
    of_energy = Finding("unit of the energies", "warning", "", {"unit": "kJ/mol"})
    both = advise(crystals([32] * 60), [*found(0.1), of_energy, forces], [5.0])
    assert both.units == ("--energy-unit", "kJ/mol"), "energies tell it"


def test_numbers_of_a_file_in_bohr_are_not_those_of_the_advice() -> None:
    energies = Finding("unit of the energies", "warning", "", {"unit": "hartree"})
    bohr = Finding("distances", "warning", "likely in BOHR")
    reasons = advise(crystals([32] * 60), [*found(0.1), energies, bohr], [5.0]).reasons
    assert any("inspect the converted one again" in reason for reason in reasons)
    assert not any("neighbours on average" in reason for reason in reasons)
