from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT

from pyg_mpnn.learning import Teacher
from pyg_mpnn.learning.labelling import Labeller
from pyg_mpnn.learning.teacher import Label, label

MOODY = f"{Path(__file__).with_name('teachers.py')}:Moody"


def chain(length: int) -> Atoms:
    return Atoms("Cu" * length, positions=[[2.5 * k, 0.1 * k, 0.0] for k in range(length)])


@pytest.mark.long
def test_failures_are_told_and_the_rest_is_labelled(tmp_path: Path) -> None:
    structures = [chain(length) for length in (1, 2, 3, 4, 5, 6)]
    with Labeller(Teacher(MOODY), tmp_path / "teacher.log", processes=2, seconds=3.0) as labeller:
        found = dict(labeller.label(structures))
        processes = [worker.process for worker in labeller._idle]
    assert found[1] == "RuntimeError: not today"
    assert found[2] == "no result within 3 s"
    assert found[3] == "the teacher's process died (exit code 7)"
    for place in (0, 4, 5):
        one = found[place]
        assert isinstance(one, Label)
        assert np.array_equal(one.forces, label(EMT(), structures[place]).forces)
    assert (tmp_path / "teacher.log").read_text().count("calculating") == 6
    assert not any(process.is_alive() for process in processes)


@pytest.mark.slow
def test_processes_stay_for_the_next_structures(tmp_path: Path) -> None:
    with Labeller(Teacher("ase.calculators.emt:EMT"), tmp_path / "log") as labeller:
        assert len(list(labeller.label([bulk("Cu")] * 3))) == 3
        (worker,) = labeller._idle
        assert len(list(labeller.label([bulk("Cu")]))) == 1
        assert labeller._idle == [worker]
        assert list(labeller.label([])) == []


@pytest.mark.slow
def test_teacher_that_cannot_be_made(tmp_path: Path) -> None:
    with (
        Labeller(Teacher("no_such_package:EMT"), tmp_path / "log") as labeller,
        pytest.raises(ValueError, match=r"'no_such_package:EMT' must be importable"),
    ):
        list(labeller.label([bulk("Cu")]))


def test_bad_numbers(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'label_seconds' must be positive and finite, got 0"):
        Labeller(Teacher("ase.calculators.emt:EMT"), tmp_path / "log", seconds=0.0)
