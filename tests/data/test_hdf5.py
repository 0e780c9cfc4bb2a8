from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyg_mpnn.data import LabelNames, read_structures
from pyg_mpnn.data.read import load_frames
from pyg_mpnn.units import BOHR, HARTREE

PLACES = np.array([[[0.0, 0.0, 0.1], [0.0, 0.8, -0.5], [0.0, -0.8, -0.5]]] * 2)
PUSH = np.arange(18.0).reshape(2, 3, 3) / 100


def write(path: Path, group: str, **arrays: Any) -> Path:
    h5py = pytest.importorskip("h5py", reason="the extra hdf5 is not installed")
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[f"{group}/{name.replace('_dz_', '_dz.')}"] = array
    return path


def test_spice_is_in_hartree_and_bohr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = {"dft_total_energy": np.array([-76.4, -76.3]), "dft_total_gradient": PUSH, "subset": [b"SPICE Water"]}
    path = write(tmp_path / "s.hdf5", "water", atomic_numbers=[8, 1, 1], conformations=PLACES, **labels)
    first, second = load_frames(path)
    assert float(second.energy) == pytest.approx(-76.3 * HARTREE)
    np.testing.assert_allclose(first.pos, PLACES[0] * BOHR)
    np.testing.assert_allclose(second.forces, -PUSH[1] * HARTREE / BOHR)
    assert first.config_type == "SPICE Water"
    assert "lengths from A (ANI) or bohr (SPICE)" in capsys.readouterr().out


def test_ani_is_in_hartree_and_angstrom_and_unknown_labels_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = {"wb97x_dz_energy": [-76.4, np.nan], "wb97x_dz_forces": np.where([[[True]], [[False]]], PUSH, np.nan)}
    path = write(
        tmp_path / "ani.h5", "O1H2", atomic_numbers=[8, 1, 1], coordinates=PLACES, other_energy=[1.0, 2.0], **labels
    )
    (frame,) = load_frames(path)
    np.testing.assert_allclose(frame.pos, PLACES[0])
    np.testing.assert_allclose(frame.forces, PUSH[0] * HARTREE)
    assert "1 others have none of these and are LEFT OUT" in capsys.readouterr().out
    other = read_structures(path, labels=LabelNames(energy="other_energy"), forces=False)
    assert [float(frame.energy) for frame in other] == pytest.approx([HARTREE, 2 * HARTREE])


def test_symbols_are_elements_in_nested_groups(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", "s01/s01-0", species=[b"O", b"H", b"H"], coordinates=PLACES, energies=[1.0, 2.0])
    assert read_structures(path, forces=False)[0].z.tolist() == [8, 1, 1]


def test_unusable_files_are_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.h5", "g", values=[1.0])
    with pytest.raises(ValueError, match=r"must hold groups with atomic_numbers or species .*, got g in"):
        read_structures(path)
    write(path, "g", species=[8, 1], coordinates=PLACES, energies=[1.0, 2.0])
    with pytest.raises(ValueError, match=r"one element for each of 3 atoms, got shape \(2,\) in group g"):
        read_structures(path)
    write(path, "g", species=[8, 1, 1], coordinates=PLACES, energies=[1.0, 2.0])
    import h5py

    with h5py.File(path, "a") as file:
        file["g/energies"].attrs["units"] = "eV"
    with pytest.raises(ValueError, match=r"'energies' must be in hartree, as in this layout, got the unit 'eV'"):
        read_structures(path)


def test_the_extra_is_named_where_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r'a.h5 needs h5py, .* pip install "pyg_mpnn\[hdf5\]"'):
        read_structures(tmp_path / "a.h5")
