from __future__ import annotations

from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from pyg_mpnn.data import LabelNames, read_structures
from pyg_mpnn.data.rewrite import convert_file


def structures() -> list[Atoms]:
    draw = np.random.default_rng(0)
    found = []
    for k in range(4):
        atoms = Atoms(
            "CuAgCuAg",
            draw.random((4, 3)) * 3 + [[0, 0, 0], [4, 0, 0], [0, 4, 0], [0, 0, 4]],
            cell=[8, 8, 8],
            pbc=k % 2 == 0,
        )
        atoms.info |= {"config_type": f"kind {k % 2}", "note": "a b", "field": np.arange(3.0), "charge": 1 + k}
        atoms.arrays["label"] = draw.random(4)
        stress = {"stress": draw.random(6)} if k % 2 == 0 else {}
        atoms.calc = SinglePointCalculator(
            atoms,
            energy=draw.random(),
            forces=draw.random((4, 3)),
            charges=draw.random(4),
            dipole=draw.random(3),
            **stress,
        )
        found.append(atoms)
    return found


@pytest.mark.parametrize("name", ["out.xyz", "out.extxyz.gz", "out.db"])
def test_everything_comes_back(tmp_path: Path, name: str) -> None:
    given = structures()
    ase.io.write(tmp_path / "in.xyz", given)
    assert "NOT WRITTEN" not in convert_file(tmp_path / "in.xyz", tmp_path / name)
    again = convert_file(tmp_path / name, tmp_path / "again.xyz.db")
    for first, second, third in zip(
        *(read_structures(tmp_path / file) for file in ("in.xyz", name, "again.xyz.db")), strict=True
    ):
        for found in (second, third):
            for field in ("pos", "energy", "forces", "cell", "stress"):
                torch.testing.assert_close(found[field], first[field], atol=1e-7, rtol=0, equal_nan=True)
            assert found.config_type == first.config_type
    for field in ("label", "charges", "dipole", "note", "field", "charge"):
        assert field in again
    (row, *_) = ase.io.read(tmp_path / name, ":") if name != "out.db" else [None]
    if row is not None:
        np.testing.assert_allclose(row.get_charges(), given[0].get_charges(), atol=1e-7)
        np.testing.assert_allclose(row.arrays["label"], given[0].arrays["label"], atol=1e-7)


def test_labels_of_another_method_and_odd_values_are_listed(tmp_path: Path) -> None:
    given = structures()
    for atoms in given:
        atoms.info |= {"dft_energy": -1.0, "history": [{"a": 1}]}
    ase.io.write(tmp_path / "in.xyz", given)
    said = convert_file(tmp_path / "in.xyz", tmp_path / "out.xyz", LabelNames(energy="dft_energy"))
    assert "NOT WRITTEN: energy of 4, forces of 4, history of 4" in said
    assert "stress of 2" in said
    assert float(read_structures(tmp_path / "out.xyz", forces=False)[0].energy) == -1.0


@pytest.mark.slow
def test_formats_of_arrays_are_written(tmp_path: Path) -> None:
    assert "1000 structures written" in convert_file("ethanol", tmp_path / "e.db")
    with pytest.raises(ValueError, match=r"'out' must end in .xyz, .extxyz \(also .gz\) or .db, got .*e.cif"):
        convert_file("ethanol", tmp_path / "e.cif")


def test_one_structure_is_no_plural(tmp_path: Path) -> None:
    for count, told in ((1, ": 1 structure;|1 structure written"), (2, ": 2 structures;|2 structures written")):
        ase.io.write(tmp_path / "in.xyz", structures()[:count])
        said = convert_file(tmp_path / "in.xyz", tmp_path / "out.xyz")
        assert all(words in said for words in told.split("|"))
