"""The official splits of rMD17, cut from the archive as it was published."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.md17.cut import cut
from pyg_mpnn.data import read_structures

COUNT = 6


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Frames of water that name themselves: the energy of frame n is n."""
    (tmp_path / "npz_data").mkdir()
    (tmp_path / "splits").mkdir()
    frame = np.array([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]])
    names = np.arange(COUNT, dtype=float)
    np.savez(
        tmp_path / "npz_data" / "rmd17_water.npz",
        nuclear_charges=np.array([8, 1, 1], dtype=np.uint8),
        coords=frame + 0.01 * names[:, None, None],
        energies=names,
        forces=np.zeros((COUNT, 3, 3)) + names[:, None, None],
        old_indices=np.arange(COUNT),
    )
    (tmp_path / "splits" / "index_train_02.csv").write_text("4\n0\n5\n")
    (tmp_path / "splits" / "index_test_02.csv").write_text("2\n")
    return tmp_path


def test_parts_hold_the_frames_of_their_index(archive: Path, tmp_path: Path) -> None:
    train, test = cut(archive, tmp_path, "water", 2)

    assert [path.name for path in (train, test)] == ["rmd17_water_train_02.npz", "rmd17_water_test_02.npz"]
    for path, index in ((train, [4, 0, 5]), (test, [2])):
        with np.load(path) as part:
            assert part["energies"].tolist() == index
            assert part["forces"][:, 1, 2].tolist() == index
            assert part["coords"][:, 0, 0] == pytest.approx([0.01 * n for n in index])
    assert not list(tmp_path.glob("*.partial*"))


def test_parts_are_read_as_data(archive: Path, tmp_path: Path) -> None:
    train, _ = cut(archive, tmp_path, "water", 2)

    frames = read_structures(train)

    assert [frame.z.tolist() for frame in frames] == [[8, 1, 1]] * 3


def test_an_interrupted_write_leaves_the_old_file(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = cut(archive, tmp_path, "water", 2)[0].read_bytes()

    def broken(file: Path, **arrays: object) -> None:
        file.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(np, "savez", broken)
    with pytest.raises(OSError, match="no space"):
        cut(archive, tmp_path, "water", 2)

    assert (tmp_path / "rmd17_water_train_02.npz").read_bytes() == old
