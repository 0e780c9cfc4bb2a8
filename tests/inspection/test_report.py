from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from ase import Atoms
from ase.io import write
from torch_geometric.data import Data

from pyg_mpnn.data import ethanol, to_atoms
from pyg_mpnn.inspection import inspect_frames, load_labelled
from pyg_mpnn.units import BOHR, GPA, HARTREE, KCAL_PER_MOL


def _forces_only(frame: Data) -> Atoms:
    atoms = to_atoms(frame)
    del atoms.calc.results["energy"]
    return atoms


def test_missing_forces_are_said(frames: list[Data], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    atoms = to_atoms(frames[0])
    write(tmp_path / "full.extxyz", atoms)
    assert "forces" in load_labelled(tmp_path / "full.extxyz")[0]
    del atoms.calc.results["forces"]
    write(tmp_path / "bare.extxyz", atoms)
    assert "forces" not in load_labelled(tmp_path / "bare.extxyz")[0]
    assert "bare.extxyz: 1 structure; energy from energy in 1, no forces, no stress" in capsys.readouterr().out
    write(tmp_path / "some.extxyz", [*(to_atoms(frame) for frame in frames[:2]), _forces_only(frames[3])])
    assert len(load_labelled(tmp_path / "some.extxyz")) == 2
    assert "1 structures without an energy are not looked at" in capsys.readouterr().out
    assert len(load_labelled("ethanol", "test")) == 1000
    del atoms.calc.results["energy"]
    write(tmp_path / "none.extxyz", atoms)
    with pytest.raises(ValueError, match="'energy' is missing"):
        load_labelled(tmp_path / "none.extxyz")


Change = Callable[[list[Data]], list[Data]]


def scaled(**factors: float) -> Change:
    """All labels of some kinds multiplied; ``pos`` scales the cell too."""

    def change(frames: list[Data]) -> list[Data]:
        out = [frame.clone() for frame in frames]
        for frame in out:
            for name, factor in factors.items():
                frame[name] = frame[name] * factor
            if "pos" in factors and "cell" in frame:
                frame.cell = frame.cell * factors["pos"]
        return out

    return change


def one_energy(shift: float) -> Change:
    def change(frames: list[Data]) -> list[Data]:
        out = [frame.clone() for frame in frames]
        out[17].energy = out[17].energy + shift
        return out

    return change


def one_force(frames: list[Data]) -> list[Data]:
    out = [frame.clone() for frame in frames]
    out[17].forces = out[17].forces + 50.0
    return out


FAULTS: dict[str, tuple[str, Change, dict[str, str]]] = {
    "energies in kcal/mol": (
        "frames",
        scaled(energy=1 / KCAL_PER_MOL),
        {
            "unit of the energies": "in kcal/mol",
            "forces against energies": "energies in kcal/mol beside forces in eV/A",
        },
    ),
    "all in kcal/mol": (
        "frames",
        scaled(energy=1 / KCAL_PER_MOL, forces=1 / KCAL_PER_MOL),
        {"unit of the energies": "in kcal/mol", "unit of the forces": "KCAL/MOL/A"},
    ),
    "forces in hartree/bohr": (
        "frames",
        scaled(forces=BOHR / HARTREE),
        {"unit of the forces": "HARTREE/BOHR", "forces against energies": "forces in hartree/bohr"},
    ),
    "energies per atom": (
        "frames",
        scaled(energy=1 / 9),
        {"forces against energies": r"energies per atom .* \(9 atoms"},
    ),
    "positions in bohr": (
        "frames",
        scaled(pos=1 / BOHR),
        {"distances": "BOHR", "forces against energies": "positions in bohr"},
    ),
    "gradients": (
        "frames",
        scaled(forces=-1.0),
        {"unit of the forces": "WRONG SIGN", "forces against energies": "WRONG SIGN"},
    ),
    "copies": ("frames", lambda frames: frames + frames[3:6], {"duplicates": "3 frames of the data are there TWICE"}),
    "one energy": (
        "frames",
        one_energy(2.0),
        {
            "outliers": r"1 frames stand apart by their energy alone: frame 17 \(",
            "forces against energies": "which are near",
        },
    ),
    "one force": ("frames", one_force, {"outliers": r"1 frames stand apart by their force alone: frame 17 \("}),
    "crystal energy": ("copper", one_energy(3.0), {"outliers": "frame 17"}),
    "pressure": ("copper", scaled(stress=-1.0), {"stress against energies": "WRONG SIGN"}),
    "stress in GPa": ("copper", scaled(stress=1 / GPA), {"stress against energies": "stress in GPa"}),
    "VASP's kbar": (
        "copper",
        scaled(stress=-10 / GPA),
        {"stress against energies": "UNITS AND THE WRONG SIGN.*stress in kbar"},
    ),
    "crystal gradients": ("copper", scaled(forces=-1.0), {"forces against energies": "WRONG SIGN"}),
    "crystal in bohr": ("copper", scaled(pos=1 / BOHR), {"distances": "BOHR"}),
}


QUICK = ("energies per atom", "gradients", "copies", "one force", "pressure")


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in FAULTS]
)
def test_each_fault_is_named_and_by_no_other_check(fault: str, request: pytest.FixtureRequest) -> None:
    kind, change, expected = FAULTS[fault]
    found = inspect_frames(change(request.getfixturevalue(kind)), steps=0)
    warned = {finding.name: finding.finding for finding in found.warnings}
    allowed = {"neighbours", "stress against energies", "forces against energies"} if "bohr" in fault else set()
    assert set(expected) <= set(warned)
    assert set(warned) <= set(expected) | allowed
    for name, pattern in expected.items():
        assert re.search(pattern, warned[name]), warned[name]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["frames", "copper"])
def test_clean_sets_give_no_alarm(kind: str, request: pytest.FixtureRequest) -> None:
    found = inspect_frames(request.getfixturevalue(kind), steps=0)
    assert not found.warnings
    judged = {finding.name: finding.severity for finding in found.findings}
    assert judged["forces against energies"] == "ok", "it is told, not left open"
    if kind == "copper":
        assert judged["stress against energies"] == "ok"


@pytest.mark.slow
def test_table_and_json_say_the_same(frames: list[Data]) -> None:
    found = inspect_frames(one_energy(2.0)(frames), ethanol("test")[:100], cutoff=[3.0, 5.0], steps=0)
    text = str(found)
    content = json.loads(found.to_json())
    assert content["num_warnings"] == len(found.warnings) == 2
    assert "2 warnings: look at these before training" in text
    assert [entry["name"] for entry in content["findings"]] == [finding.name for finding in found.findings]
    assert all(len(line) <= 115 for line in text.splitlines())
    assert "frame 17" in " ".join(text.split())


def test_structures_without_energy_are_refused(frames: list[Data]) -> None:
    bare = frames[0].clone()
    del bare.energy
    with pytest.raises(ValueError, match="'energy' is missing in frame 0"):
        inspect_frames([bare], steps=0)
