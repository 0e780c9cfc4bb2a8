from __future__ import annotations

from pathlib import Path

import pytest
from ase import Atoms
from ase.io import write
from torch_geometric.data import Data

from pyg_mpnn.data import to_atoms
from pyg_mpnn.inspection import load_labelled


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
    assert "bare.extxyz: 1 structures; energy from energy in 1, no forces, no stress" in capsys.readouterr().out
    write(tmp_path / "some.extxyz", [*(to_atoms(frame) for frame in frames[:2]), _forces_only(frames[3])])
    assert len(load_labelled(tmp_path / "some.extxyz")) == 2
    assert "1 structures without an energy are not looked at" in capsys.readouterr().out
    assert len(load_labelled("ethanol", "test")) == 1000
    del atoms.calc.results["energy"]
    write(tmp_path / "none.extxyz", atoms)
    with pytest.raises(ValueError, match="'energy' is missing"):
        load_labelled(tmp_path / "none.extxyz")
