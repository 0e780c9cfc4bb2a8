from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from pyg_mpnn.learning import Teacher
from pyg_mpnn.learning.asking import Asking
from pyg_mpnn.learning.labels import LabelStore
from pyg_mpnn.learning.sampling import displaced
from tests.learning.in_process import InProcess

TEACHERS = "tests.learning.teachers"


def asking(folder: Path, teacher: Teacher, said: list[str]) -> Asking:
    return Asking(LabelStore(folder), InProcess(teacher, folder / "teacher.txt"), said.append, {29})


def structures(count: int) -> list[Atoms]:
    return displaced([bulk("Cu", cubic=True)], count, seed=0)


def test_nothing_is_asked_twice(tmp_path: Path) -> None:
    before = InProcess.asked
    for _ in range(2):
        found = asking(tmp_path, Teacher("ase.calculators.emt:EMT"), [])(structures(3), "given", 0)
        assert [np.abs(atoms.get_forces()).max() > 0 for atoms in found] == [True] * 3
    assert InProcess.asked == before + 3


def test_failures_are_set_aside_and_said(tmp_path: Path) -> None:
    said: list[str] = []
    of = asking(tmp_path, Teacher(f"{TEACHERS}:Nan", {"good": 2}), said)
    assert len(of(structures(5), "given", 0)) == 4
    assert said == [f"1 of 5 have no label: forces is not finite (the last of {tmp_path / 'failures.xyz'})"]
    assert [atoms.info["reason"] for atoms in of.store.failed] == ["forces is not finite"]


def test_teacher_that_only_fails_is_not_asked_on(tmp_path: Path) -> None:
    of = asking(tmp_path, Teacher(f"{TEACHERS}:Nan"), [])
    with pytest.raises(ValueError, match="none for the first 20: forces is not finite"):
        of(structures(30), "given", 0)
    assert len(of.store.failed) == 20


def test_other_elements_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="got O too"):
        asking(tmp_path, Teacher("ase.calculators.emt:EMT"), [])([molecule("O2")], "given", 0)
