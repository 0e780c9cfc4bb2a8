from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pyg_mpnn.data import LabelNames, read_structures
from pyg_mpnn.data.read import load_frames


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two sets with three frames of water in a box."""
    draw = np.random.default_rng(0)
    (tmp_path / "type.raw").write_text("1\n0\n0\n")
    (tmp_path / "type_map.raw").write_text("H O\n")
    for name, frames in (("set.000", 2), ("set.001", 1)):
        part = tmp_path / name
        part.mkdir()
        np.save(part / "coord.npy", draw.normal(size=(frames, 9)).astype(np.float32))
        np.save(part / "box.npy", np.tile(np.diag([4.0, 5.0, 6.0]).ravel(), (frames, 1)))
        np.save(part / "energy.npy", draw.normal(size=frames) - 470.0)
        np.save(part / "force.npy", draw.normal(size=(frames, 9)))
        np.save(part / "virial.npy", np.tile(120.0 * np.array([0.0, 1, 2, 1, 2, 3, 2, 3, 4]), (frames, 1)))
    return tmp_path


def test_folder_has_the_numbers_of_its_arrays(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames = load_frames(folder)
    assert len(frames) == 3
    assert frames[2].z.tolist() == [8, 1, 1]
    assert frames[0].energy.item() == np.load(folder / "set.000" / "energy.npy")[0]
    np.testing.assert_array_equal(frames[2].pos, np.load(folder / "set.001" / "coord.npy").reshape(3, 3))
    np.testing.assert_array_equal(frames[1].forces, np.load(folder / "set.000" / "force.npy")[1].reshape(3, 3))
    assert frames[0].cell[0].diagonal().tolist() == [4.0, 5.0, 6.0]
    torch.testing.assert_close(frames[0].stress[0].flatten(), -torch.tensor([0.0, 1, 2, 1, 2, 3, 2, 3, 4]).double())
    assert "energy from energy.npy in 3, forces from force.npy in 3, stress from -virial.npy / volume in 3" in (
        capsys.readouterr().out
    )


def test_frames_of_a_set_may_be_of_different_atoms(folder: Path) -> None:
    np.save(folder / "set.000" / "real_atom_types.npy", np.array([[1, 0, -1], [0, 0, 1]]))
    first, second, third = read_structures(folder)
    assert [frame.z.tolist() for frame in (first, second, third)] == [[8, 1], [1, 1, 8], [8, 1, 1]]
    np.testing.assert_array_equal(first.forces, np.load(folder / "set.000" / "force.npy")[0].reshape(3, 3)[:2])


def test_folder_may_be_open_and_without_labels(folder: Path) -> None:
    (folder / "nopbc").touch()
    for name in ("energy", "force", "virial"):
        for path in folder.glob(f"set.*/{name}.npy"):
            path.unlink()
    frames = read_structures(folder, energy=False, forces=False)
    assert sorted(frames[0].keys()) == ["pos", "z"]


def test_unusable_folders_are_errors(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"units must be left out for .*: DeePMD's are eV and A"):
        read_structures(folder, labels=LabelNames(energy_unit="hartree"))
    np.save(folder / "set.001" / "energy.npy", np.zeros(2))
    with pytest.raises(ValueError, match=r"as many frames in each array of a set, got .*'energy': 2"):
        read_structures(folder)
    np.save(folder / "set.000" / "coord.npy", np.zeros((2, 12)))
    with pytest.raises(ValueError, match=r"'path' must hold arrays for 3 atoms, got .*set.000/coord.npy"):
        read_structures(folder)
    with pytest.raises(ValueError, match="frames of other atoms go into a folder of their own"):
        read_structures(folder)
    (folder / "set.000" / "coord.npy").unlink()
    with pytest.raises(ValueError, match=r"'path' must hold coord.npy in each set, got .*set.000 without it"):
        read_structures(folder)
    (folder / "type.raw").write_text("2\n")
    with pytest.raises(ValueError, match=r"types must be places of elements in \['H', 'O'\], got \[2\]"):
        read_structures(folder)
    (folder / "type_map.raw").unlink()
    with pytest.raises(ValueError, match=r"'path' must hold type_map.raw, which says what the types are"):
        read_structures(folder)
