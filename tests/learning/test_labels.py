from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT

from pyg_mpnn.data import read_structures
from pyg_mpnn.learning.labels import LabelStore
from pyg_mpnn.learning.teacher import as_written, label


def structures() -> list[Atoms]:
    made = [bulk("Cu", cubic=True), molecule("CO"), molecule("H2O")]
    for number, atoms in enumerate(made):
        atoms.rattle(0.05, seed=number)
    return [as_written(atoms) for atoms in made]


def filled(folder: Path) -> LabelStore:
    store = LabelStore(folder)
    first, second, third = structures()
    store.add(first, label(EMT(), first), "start", 0)
    store.add(second, label(EMT(), second), "sampled", 1)
    store.add_failure(third, 'it said "no"', "sampled", 1)
    return store


def test_labels_are_read_as_they_were(tmp_path: Path) -> None:
    store, again = filled(tmp_path), LabelStore(tmp_path)
    assert len(store) == len(again) == 2
    for one, other, atoms in zip(store.frames(), again.frames(), structures(), strict=False):
        assert np.array_equal(one.positions, atoms.positions)
        assert np.array_equal(other.positions, atoms.positions)
        assert np.array_equal(other.cell, atoms.cell)
        assert np.array_equal(one.get_forces(), other.get_forces())
        assert abs(other.get_forces() - label(EMT(), atoms).forces).max() < 1e-8
        assert other.get_potential_energy() == one.get_potential_energy()
    assert [len(again.frames(["start"])), len(again.frames(number=1))] == [1, 1]
    assert again.failed[0].info["reason"] == "it said 'no'"
    assert [again.knows(atoms) for atoms in structures()] == [True] * 3
    moved = structures()[0]
    moved.positions[0, 0] += 1e-8
    assert not again.knows(moved)


def test_file_of_labels_can_be_trained_on(tmp_path: Path) -> None:
    filled(tmp_path)
    frames = read_structures(tmp_path / "labels.xyz")
    assert [frame.config_type for frame in frames] == ["start", "sampled"]
    assert frames[0].stress.isfinite().all()


@pytest.mark.parametrize("cut", [1, 30, 300])
def test_what_a_kill_cut_short_is_left_out(tmp_path: Path, cut: int, capsys: pytest.CaptureFixture[str]) -> None:
    filled(tmp_path)
    path = tmp_path / "labels.xyz"
    whole = path.read_bytes()
    size = len(whole.split(b"\n2\n")[0]) + 1
    path.write_bytes(whole[: max(size + 1, len(whole) - cut)])
    store = LabelStore(tmp_path)
    assert "cut short by a kill" in capsys.readouterr().out
    assert len(store) == 1
    assert path.read_bytes() == whole[:size]
    second = structures()[1]
    assert not store.knows(second)
    store.add(second, label(EMT(), second), "sampled", 1)
    assert path.read_bytes() == whole


def test_full_disk_leaves_whole_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled(tmp_path)
    before = (tmp_path / "labels.xyz").read_bytes()

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"labels.xyz' could not be written: the disk is full.*as it was"):
        store.add(structures()[0], label(EMT(), structures()[0]), "sampled", 2)
    assert (tmp_path / "labels.xyz").read_bytes() == before
    assert len(store) == 2
