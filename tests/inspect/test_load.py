from __future__ import annotations

from pathlib import Path

import pytest
from ase.io import write
from torch_geometric.data import Data

from pyg_mpnn.data import to_atoms
from pyg_mpnn.inspect import load_labelled


def test_missing_forces_are_said(frames: list[Data], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    atoms = to_atoms(frames[0])
    write(tmp_path / "full.extxyz", atoms)
    assert "forces" in load_labelled(tmp_path / "full.extxyz")[0]
    del atoms.calc.results["forces"]
    write(tmp_path / "bare.extxyz", atoms)
    assert "forces" not in load_labelled(tmp_path / "bare.extxyz")[0]
    assert "Looking at the energies alone." in capsys.readouterr().out
    assert len(load_labelled("ethanol", "test")) == 1000
    del atoms.calc.results["energy"]
    write(tmp_path / "none.extxyz", atoms)
    with pytest.raises(ValueError, match="'energy' is missing"):
        load_labelled(tmp_path / "none.extxyz")
