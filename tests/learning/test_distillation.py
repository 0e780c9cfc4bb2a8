from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from ase.io import read, write

from pyg_mpnn import Potential, load_potential
from pyg_mpnn.learning import DistillResult, DistillSettings, comparison, distill, distillation
from pyg_mpnn.learning.labels import LabelStore
from pyg_mpnn.learning.sampling import displaced
from pyg_mpnn.training import evaluate
from tests.learning.in_process import InProcess
from tests.learning.test_selection import committee

TINY = {"hidden_channels": 8, "edge_dim": 8, "channels": 2, "l_max": 1, "num_layers": 1}
TEACHERS = "tests.learning.teachers"


@pytest.fixture(autouse=True)
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distillation, "Labeller", InProcess)
    monkeypatch.setattr(comparison, "Labeller", InProcess)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What trainings were given, none of which is run."""
    given: list[dict[str, Any]] = []

    def train(settings: Any, **options: Any) -> Any:
        given.append(options)
        student = Potential.from_size("small", cutoff=3.0, **TINY)
        student.set_reference({29: -1.0}, scale=1.0, neighbors=[12.0])
        return SimpleNamespace(potential=student.eval())

    monkeypatch.setattr(distillation, "train", train)
    monkeypatch.setattr(distillation, "seconds_of", lambda *_: (0.1, 1))
    return given


def structures(folder: Path, count: int = 20, offset: float | None = None) -> str:
    """A file with displaced cells of copper; with labels of EMT where an offset of the energy per atom is given."""
    made = displaced([bulk("Cu", cubic=True)], count, seed=1)
    for atoms in made if offset is not None else ():
        atoms.calc = EMT()
        energy = atoms.get_potential_energy() + len(atoms) * (offset or 0.0)
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=atoms.get_forces(), stress=atoms.get_stress())
    path = folder / f"copper-{count}-{offset}.xyz"
    write(path, made)
    return str(path)


def settings(source: str, out: Path, **options: Any) -> DistillSettings:
    given: dict[str, Any] = {"teacher": {"class": f"{TEACHERS}:Forgetful"}, "timestep": 4.0, "interval": 20.0}
    quick = {"epochs": 1, "cutoff": 3.0, "model": TINY, "threads": 1, "compile": "off", "walks": 2}
    return DistillSettings(structures=source, out=str(out), **{**given, **quick, **options})


@pytest.mark.slow
def test_student_is_trained_and_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    of = settings(structures(tmp_path), tmp_path / "run", sample=4, test=structures(tmp_path, 3, 0.0))
    found: DistillResult = distill(of)
    report = json.loads((tmp_path / "run" / "distillation.json").read_text())
    assert report == found.report
    assert report["structures"] == {"trained on": 22, "validated on": 2, "true": 0}
    teacher, student = (report["against the reference"][name] for name in ("teacher", "student"))
    assert teacher["forces_mae_meV_per_A"] < 1e-3 < student["forces_mae_meV_per_A"]
    errors = evaluate(load_potential(tmp_path / "run" / "potential.pt"), of.test)
    assert errors.forces_mae_meV_per_A == pytest.approx(student["forces_mae_meV_per_A"], rel=1e-4)
    assert errors.stress_mae_meV_per_A3 == pytest.approx(student["stress_mae_meV_per_A3"], rel=1e-4)
    times = report["time"]
    assert times["times_faster"] == pytest.approx(times["teacher_ms"] / times["student_ms"])
    assert "Against the reference, on 3 structures" in capsys.readouterr().out


def test_interrupted_run_goes_on_and_asks_for_nothing_twice(
    tmp_path: Path, trained: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    of = settings(structures(tmp_path), tmp_path / "run", sample=4)
    train = distillation.train
    monkeypatch.setattr(distillation, "train", lambda *args, **options: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        distill(of)
    labels = (tmp_path / "run" / "labels.xyz").read_text()
    monkeypatch.setattr(distillation, "train", train)
    with pytest.raises(FileExistsError, match="or say 'resume'"):
        distill(of)
    with pytest.raises(ValueError, match=r"same settings, got other values for 'sample' \(was 4\), 'seed'"):
        distill(settings(structures(tmp_path), tmp_path / "run", sample=6, seed=1, resume=True))
    before = InProcess.asked
    distill(settings(structures(tmp_path), tmp_path / "run", sample=4, resume=True))
    assert (tmp_path / "run" / "labels.xyz").read_text() == labels
    assert InProcess.asked == before
    given = [len(frames) for frames in (trained[0]["frames"], trained[0]["valid"])]
    assert given == [22, 2]


def test_validation_is_the_end_of_each_walk(tmp_path: Path, trained: list[dict[str, Any]]) -> None:
    distill(settings(structures(tmp_path, 2), tmp_path / "run", sample=20, valid_share=0.2))
    drawn = LabelStore(tmp_path / "run").frames(["sampled"])
    last = {atoms.get_potential_energy() for atoms in drawn if atoms.info["round"] >= 16}
    assert {float(frame.energy) for frame in trained[0]["valid"]} == last
    assert len(last) == 4


def test_labels_of_the_file_must_be_the_teachers(tmp_path: Path, trained: list[dict[str, Any]]) -> None:
    before = InProcess.asked
    distill(settings(structures(tmp_path, 20, 0.0), tmp_path / "run", use_labels=True))
    assert InProcess.asked - before == 6 + 3, "probe and comparison"
    assert len(trained[0]["frames"]) == 18
    with pytest.raises(
        ValueError, match=r"an energy that differs by 10 meV per atom and forces by .* give the file as"
    ):
        distill(settings(structures(tmp_path, 20, 0.01), tmp_path / "other", use_labels=True))


def test_true_labels_are_trained_on_with_their_weight(tmp_path: Path, trained: list[dict[str, Any]]) -> None:
    truth = structures(tmp_path, 12, 0.01)
    distill(settings(structures(tmp_path), tmp_path / "run", truth=truth, truth_weight=3.0))
    weights = [float(frame.weight) for frame in trained[0]["frames"]]
    assert weights == [1.0] * 18 + [3.0] * 12
    energies = [atoms.get_potential_energy() for atoms in read(truth, ":")]
    assert [float(frame.energy) for frame in trained[0]["frames"][18:]] == pytest.approx(energies)
    other = structures(tmp_path, 12, 0.2)
    with pytest.raises(ValueError, match=r"'truth' must have energies of the teacher's level of theory, .* 200 meV"):
        distill(settings(structures(tmp_path), tmp_path / "other", truth=other))


def test_structures_with_true_labels_do_not_validate(tmp_path: Path, trained: list[dict[str, Any]]) -> None:
    source = structures(tmp_path, 20, 0.01)
    distill(settings(source, tmp_path / "run", sample=20, truth=source))
    assert len(trained[0]["frames"]) == 18 + 20
    known = {float(frame.energy) for frame in trained[0]["frames"][18:]}
    assert len(known) == 20
    assert len(trained[0]["valid"]) == 2
    assert not known & {float(frame.energy) for frame in trained[0]["valid"]}


def test_committee_says_how_far_its_members_are_apart(tmp_path: Path, trained: list[dict[str, Any]]) -> None:
    committee().save(tmp_path / "committee.pt")
    of = settings(structures(tmp_path), tmp_path / "run", teacher={"class": str(tmp_path / "committee.pt")})
    assert distill(of).report["spread of the teacher's members (meV/A)"] > 0
    with pytest.raises(ValueError, match="'teacher' must have no arguments where it is a potential"):
        distill(settings(structures(tmp_path), tmp_path / "other", teacher={**of.teacher, "device": "cpu"}))


@pytest.mark.parametrize(
    ("teacher", "atoms", "options", "told"),
    [
        (
            "ase.calculators.emt:EMT",
            bulk("Li", cubic=True),
            {},
            "labels for a displaced start .*No EMT-potential for Li",
        ),
        (f"{TEACHERS}:Nan", bulk("Cu", cubic=True), {}, "labels for a displaced start .* forces is not finite"),
        (
            "ase.calculators.emt:EMT",
            bulk("Cu"),
            {},
            "'structures' must have at least 2 atoms each, got 1 in structure 0",
        ),
        ("ase.calculators.emt:EMT", bulk("Cu", cubic=True), {}, "at least 20 labels, one of them to validate, got 1"),
        ("committee.pt", molecule("CH4"), {}, r"elements that the teacher knows \(\[1, 8, 29\]\), got \[6\] too"),
        (
            "ase.calculators.emt:EMT",
            bulk("Ni", cubic=True),
            {"test": "cu"},
            r"'test' must have elements of .*got \[29\]",
        ),
        ("absent.pt", bulk("Cu", cubic=True), {}, "a trained potential or its folder, got absent"),
        ("ase.calculators.emt:Absent", bulk("Cu", cubic=True), {}, "Absent"),
    ],
    ids=["element", "nan", "atom", "few", "unknown", "test", "absent", "class"],
)
def test_what_cannot_be_distilled_is_told(
    teacher: str,
    atoms: Atoms,
    options: dict[str, str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    trained: list[dict[str, Any]],
) -> None:
    monkeypatch.chdir(tmp_path)
    committee().save("committee.pt")
    write("start.xyz", atoms)
    given = {"test": structures(tmp_path, 2, 0.0)} if options else {}
    with pytest.raises((ValueError, FileNotFoundError), match=told):
        distill(settings("start.xyz", tmp_path / "run", teacher={"class": teacher}, **given))


def test_copies_are_labelled_once(tmp_path: Path, trained: list[dict[str, Any]], capsys: Any) -> None:
    made = displaced([bulk("Cu", cubic=True)], 20, seed=1)
    write(tmp_path / "copies.xyz", [*made, made[0], made[5]])
    distill(settings(str(tmp_path / "copies.xyz"), tmp_path / "run"))
    assert "2 structures of" in capsys.readouterr().out
    places = [frame.pos.numpy().tobytes() for part in ("frames", "valid") for frame in trained[0][part]]
    assert len(places) == len(set(places)) == 20
    capsys.readouterr()
    distill(settings(structures(tmp_path, 40), tmp_path / "few", max_structures=20))
    assert "40 structures: 20 of them are labelled" in capsys.readouterr().out
    assert np.all([len(frame.z) == 4 for frame in trained[1]["frames"]])


def test_constraints_are_refused_and_not_dropped(tmp_path: Path) -> None:
    atoms = bulk("Cu", cubic=True)
    atoms.set_constraint(FixAtoms([0]))
    write(tmp_path / "fixed.traj", atoms)
    with pytest.raises(ValueError, match=r"'structures' must have no constraints.*structure 0 of .*remove them"):
        distill(settings(str(tmp_path / "fixed.traj"), tmp_path / "run"))
    assert not (tmp_path / "run").exists()
