from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk

from pyg_mpnn.learning import Teacher
from pyg_mpnn.learning.labels import LabelStore
from pyg_mpnn.learning.teacher import label
from pyg_mpnn.learning.walks import KIND, Walks
from tests.learning.in_process import InProcess

TEACHERS = "tests.learning.teachers"
FORGETFUL = Teacher(f"{TEACHERS}:Forgetful")


def walks(folder: Path, start: Atoms, teacher: Teacher, said: list[str] | None = None, **options: Any) -> Walks:
    given = {"walks": 2, "temperatures": [300.0], "timestep": 4.0, "every": 5, "seed": 0, **options}
    lines = [] if said is None else said
    labeller = InProcess(teacher, folder / "teacher.txt")
    return Walks([start], LabelStore(folder), labeller, folder / "walks.npz", lines.append, **given)


def springs(crystal: Atoms, **options: float) -> Teacher:
    return Teacher(f"{TEACHERS}:Springs", {"places": crystal.positions.tolist(), **options})


def test_walks_sample_their_temperatures(tmp_path: Path) -> None:
    """Springs: <x^2> = kT / k in each direction, within the noise of some 100 uncorrelated structures."""
    crystal = bulk("Cu", cubic=True)
    crystal.pbc = False
    crystal = Atoms("Cu32", np.concatenate([crystal.positions + 10.0 * place for place in range(8)]))
    of = walks(tmp_path, crystal, springs(crystal), temperatures=[300.0, 900.0], timestep=10.0, every=20)
    of.run(120)
    measured = []
    for walk in range(2):
        frames = [atoms for atoms in of.store.frames([KIND]) if atoms.info["round"] % 2 == walk][8:]
        measured.append(np.mean([(atoms.positions - crystal.positions) ** 2 for atoms in frames]))
    assert measured == pytest.approx([units.kB * 300.0 / 2.0, units.kB * 900.0 / 2.0], rel=0.12)


def test_what_is_kept_has_the_label_that_the_teacher_gives(tmp_path: Path) -> None:
    of = walks(tmp_path, bulk("Cu", cubic=True), FORGETFUL)
    of.run(4)
    frames = LabelStore(tmp_path).frames([KIND])
    assert [atoms.info["round"] for atoms in frames] == [0, 1, 2, 3]
    assert not np.allclose(frames[1].cell, bulk("Cu", cubic=True).cell), "every other walk is strained"
    for atoms in frames:
        again = label(FORGETFUL.make(), atoms)
        assert again.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-7)
        assert np.allclose(again.forces, atoms.get_forces(), atol=1e-7)
        assert np.abs(atoms.get_forces()).max() > 0.01, "control"


def test_walks_go_on_to_the_last_bit(tmp_path: Path) -> None:
    for name, stops in (("whole", [6]), ("parts", [3, 6])):
        for stop in stops:
            walks(tmp_path / name, bulk("Cu", cubic=True), FORGETFUL).run(stop)
    texts = [(tmp_path / name / "labels.xyz").read_text() for name in ("whole", "parts")]
    assert texts[0] == texts[1]
    walks(tmp_path / "other", bulk("Cu", cubic=True), FORGETFUL, seed=1).run(2)
    assert (tmp_path / "other" / "labels.xyz").read_text() != texts[0], "control"


def test_labels_that_are_newer_than_the_state_are_not_written_again(tmp_path: Path) -> None:
    walks(tmp_path, bulk("Cu", cubic=True), FORGETFUL).run(2)
    state = (tmp_path / "walks.npz").read_bytes()
    walks(tmp_path, bulk("Cu", cubic=True), FORGETFUL).run(4)
    text = (tmp_path / "labels.xyz").read_text()
    (tmp_path / "walks.npz").write_bytes(state)
    walks(tmp_path, bulk("Cu", cubic=True), FORGETFUL).run(4)
    assert (tmp_path / "labels.xyz").read_text() == text


def test_walk_that_comes_to_a_failure_begins_anew(tmp_path: Path) -> None:
    crystal = bulk("Cu", cubic=True)
    said: list[str] = []
    of = walks(tmp_path, crystal, springs(crystal, furthest=0.12), said, walks=1)
    of.run(6)
    assert "begins anew" in said[0]
    assert "RuntimeError: too far away" in said[0]
    assert of.store.failed[0].info["reason"] == "RuntimeError: too far away"
    assert all(np.abs(atoms.positions - crystal.positions).max() <= 0.12 for atoms in of.store.frames([KIND]))


@pytest.mark.parametrize(
    ("options", "timestep", "told"),
    [({"furthest": 1e-9}, 4.0, "RuntimeError: too far away"), ({"strength": 1e4}, 400.0, "it exploded at")],
    ids=["failing", "exploding"],
)
def test_dynamics_without_a_structure_is_an_error(
    tmp_path: Path, options: dict[str, float], timestep: float, told: str
) -> None:
    crystal = bulk("Cu", cubic=True)
    of = walks(tmp_path, crystal, springs(crystal, **options), timestep=timestep, walks=1)
    with pytest.raises(ValueError, match=f"5 that broke off one after the other; walk 0 at 300 K .*{told}"):
        of.run(4)


def test_atoms_that_come_too_close_are_no_structure(tmp_path: Path) -> None:
    pair = Atoms("Cu2", positions=[[0, 0, 0], [0, 0, 2.5]])
    attracted = Teacher(f"{TEACHERS}:Springs", {"places": [[0, 0, 1.2], [0, 0, 1.3]]})
    with pytest.raises(ValueError, match=r"two atoms came to 0\.\d+ of the sum of their covalent radii"):
        walks(tmp_path, pair, attracted, walks=1, every=22).run(4)
