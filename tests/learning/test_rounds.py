from __future__ import annotations

import errno
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.constraints import FixAtoms
from ase.io import read, write

from pyg_mpnn import load_potential
from pyg_mpnn.data import ethanol, to_atoms
from pyg_mpnn.learning import LearnResult, LearnSettings, Teacher, learn, rounds, student
from pyg_mpnn.learning.clock import Clock
from pyg_mpnn.learning.labelling import Labeller
from pyg_mpnn.learning.labels import LabelStore
from pyg_mpnn.models import Committee

TINY = {"hidden_channels": 8, "edge_dim": 8, "channels": 2, "l_max": 1, "num_layers": 1}
TEACHERS = Path(__file__).with_name("teachers.py")
EMT = "ase.calculators.emt:EMT"
FORGETFUL = f"{TEACHERS}:Forgetful"


def copper(path: Path) -> str:
    write(path, bulk("Cu", cubic=True))
    return str(path)


def settings(structures: str, out: Path, **options: Any) -> LearnSettings:
    small: dict[str, Any] = {"labels": 20, "test_labels": 10, "ps": 0.2, "timestep": 4.0, "epochs": 2, "committee": 2}
    quick: dict[str, Any] = {"model": TINY, "cutoff": 3.0, "max_labels": 86, "threads": 1, "compile": "off"}
    given: dict[str, Any] = {"teacher": {"class": FORGETFUL}, "target_force_error": 1.0, **small, **quick}
    return LearnSettings(structures=structures, out=str(out), **{**given, **options})


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> LearnResult:
    """Two rounds that nothing interrupts."""
    folder = tmp_path_factory.mktemp("finished")
    return learn(settings(copper(folder / "copper.xyz"), folder / "run"))


@pytest.mark.long
def test_run_says_how_far_it_got(finished: LearnResult) -> None:
    assert not finished.reached
    assert finished.stopped == "--max-labels 86 leaves none for another round with its test and certificate"
    assert [found["round"] for found in finished.rounds] == [0, 1]
    assert [found["trained_on"] for found in finished.rounds] == [20, 30 + finished.rounds[1]["selected"]]
    assert 0 < finished.certificate["forces_coverage"]["95%"] <= 1
    state = json.loads((finished.out / "state.json").read_text())
    assert state["stopped"] == finished.stopped
    assert state["rounds"] == finished.rounds
    kinds = [frame.info["config_type"] for frame in LabelStore(finished.out).frames()]
    assert [kinds.count(kind) for kind in ("probe", "displaced", "test", "certificate")] == [6, 20, 20, 20]
    card = json.loads((finished.out / "model_card.json").read_text())
    assert card["labels"]["asked for"] == len(kinds)
    assert any("ABOVE the target of 1" in line for line in card["where it was tested"])
    assert any("compositions: Cu4" in line for line in card["what it has seen, and what not"])
    assert "## laws" in (finished.out / "model_card.md").read_text()
    assert (finished.out / "learning.png").stat().st_size > 10_000


@pytest.mark.long
def test_later_members_start_from_their_own_predecessors(finished: LearnResult) -> None:
    for member in range(2):
        kept = json.loads((finished.out / f"round-1/committee/member-{member}/settings.json").read_text())
        assert kept["start_from"] == str(finished.out / f"round-0/committee/member-{member}/best.ckpt")


@pytest.mark.long
def test_certificate_judges_the_potential_that_is_left(finished: LearnResult) -> None:
    store = LabelStore(finished.out)
    model = load_potential(finished.out / "potential.pt")
    assert isinstance(model, Committee)
    judged = student.judge_student(model, [rounds.to_data(atoms) for atoms in store.frames(["certificate"])])
    assert judged["forces_coverage"] == finished.certificate["forces_coverage"]


def same(one: LearnResult, other: LearnResult) -> None:
    assert (one.out / "labels.xyz").read_text() == (other.out / "labels.xyz").read_text()
    first, second = (load_potential(found.out / "potential.pt").state_dict() for found in (one, other))
    torch.testing.assert_close(first, second, rtol=0, atol=0, equal_nan=True)  # NaN: elements that it does not know
    plain = [[{**found, "seconds": 0} for found in result.rounds] for result in (one, other)]
    assert plain[0] == plain[1]


@pytest.fixture
def unwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without model card, laws and pictures, which are written again at each end."""
    monkeypatch.setattr(rounds, "write_certificate", lambda *_: None)
    monkeypatch.setattr(rounds, "plot_learning", lambda *_: None)


@pytest.mark.long
def test_interruptions_change_nothing(
    finished: LearnResult, tmp_path: Path, undrawn: None, unwritten: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk while labelling, Ctrl-C in a training, and again in a dynamics: the same to the last bit."""
    structures = copper(tmp_path / "copper.xyz")
    add, train, walk = LabelStore.add, student.train_committee, rounds.walk

    def full(store: LabelStore, atoms: Atoms, *rest: Any) -> None:
        if len(store) == 13:
            raise OSError(errno.ENOSPC, "'labels.xyz' could not be written: the disk is full")
        add(store, atoms, *rest)

    def stopped(*args: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    def stopped_after_members(*args: Any, **options: Any) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr("pyg_mpnn.training.committee.add_error_bars", stopped)
            return train(*args, **options)

    def stopped_in_second(*args: Any, **options: Any) -> Any:
        return stopped() if args[2].name == "walk-1" else walk(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(LabelStore, "add", full)
        with pytest.raises(OSError, match="the disk is full"):
            learn(settings(structures, tmp_path / "run"))
    assert len(LabelStore(tmp_path / "run")) == 13
    of_training, of_dynamics = (student, "train_committee"), (rounds, "walk")
    for place, interruption in ((of_training, stopped_after_members), (of_dynamics, stopped_in_second)):
        with monkeypatch.context() as patch:
            patch.setattr(*place, interruption)
            with pytest.raises(KeyboardInterrupt):
                learn(settings(structures, tmp_path / "run", resume=True))
        assert (tmp_path / "run/round-0/committee/member-1/last.ckpt").is_file()
    same(learn(settings(structures, tmp_path / "run", resume=True)), finished)


@pytest.mark.long
def test_kill_changes_nothing(finished: LearnResult, tmp_path: Path, undrawn: None, unwritten: None) -> None:
    structures, out = copper(tmp_path / "copper.xyz"), tmp_path / "run"
    code = "from tests.learning.test_rounds import *\nfrom pyg_mpnn.learning import clock\n"
    code += "clock._EVERY = 0.05\nif __name__ == '__main__':\n"
    script = tmp_path / "script.py"
    script.write_text(f"{code}    learn(settings({structures!r}, Path({str(out)!r})))")
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, str(script)], cwd=root, env={"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    )
    while not (out / "round-0/committee/member-0/last.ckpt").is_file():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = json.loads((out / "state.json").read_text())["seconds"]
    spent = Clock(out).seconds
    assert spent > before  # of what the members took there is no word in the state
    same(learn(settings(structures, out, resume=True)), finished)
    assert json.loads((out / "state.json").read_text())["seconds"] > spent


@pytest.mark.long
def test_finished_run_goes_on_with_a_larger_budget(
    finished: LearnResult, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found: list[int] = []
    monkeypatch.setattr(rounds._Learning, "round", lambda self, number: found.append(number) or stop())
    structures = str(finished.out.parent / "copper.xyz")

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learn(settings(structures, finished.out, resume=True, max_labels=500))
    assert found == [2]
    with pytest.raises(ValueError, match=r"'resume' must go on with the same settings, got other.*'epochs' \(was 2\)"):
        learn(settings(structures, finished.out, resume=True, epochs=3))


def test_bad_starts(tmp_path: Path) -> None:
    near = molecule("H2")
    near.positions *= 0.3
    fixed = molecule("H2O")
    fixed.set_constraint(FixAtoms([0]))
    cases = [(near, "atoms on top of each other"), (fixed, "no constraints"), (Atoms("Cu"), "at least 2 atoms each")]
    for number, (atoms, message) in enumerate(cases):
        write(tmp_path / f"{number}.traj", atoms)
        with pytest.raises(ValueError, match=f"'structures' must .*{message}"):
            learn(settings(str(tmp_path / f"{number}.traj"), tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_weights_to_start_from_must_know_the_elements(tmp_path: Path) -> None:
    given = {"model": {}, "cutoff": None, "teacher": {"class": EMT}}
    with pytest.raises(ValueError, match=r"'start_from' must know all elements .* \[1, 6, 7, 8, 9\] beside \[29\]"):
        learn(settings(copper(tmp_path / "copper.xyz"), tmp_path / "run", start_from="organic", **given))
    with pytest.raises(FileNotFoundError, match=r"'start_from' must be a file, got 'organik'"):
        learn(settings(copper(tmp_path / "copper.xyz"), tmp_path / "run", start_from="organik", **given))
    assert not (tmp_path / "run").exists(), "the teacher was not asked"


def test_bad_folders(tmp_path: Path) -> None:
    structures = copper(tmp_path / "copper.xyz")
    with pytest.raises(FileNotFoundError, match=r"'out' must hold state.json to resume"):
        learn(settings(structures, tmp_path / "run", resume=True))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine").write_text("")
    with pytest.raises(FileExistsError, match="'out' must be a new or empty folder"):
        learn(settings(structures, tmp_path / "run"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        ({"class": f"{TEACHERS}:Wrong", "noise": 0.1}, r"'target_force_error' must be above the noise.*got 1 meV/A"),
        ({"class": f"{TEACHERS}:Wrong", "factor": -1.0}, "the forces have the wrong sign"),
        ({"class": f"{TEACHERS}:Never"}, "'teacher' must have labels for a displaced start structure.*not converged"),
    ],
    ids=["noise", "sign", "never"],
)
def test_bad_teachers(teacher: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        learn(settings(copper(tmp_path / "copper.xyz"), tmp_path / "run", teacher=teacher))
    assert (tmp_path / "run" / "state.json").is_file()


@pytest.fixture
def begun(tmp_path: Path) -> Callable[..., rounds._Learning]:
    def make(**options: Any) -> rounds._Learning:
        given = settings("copper.xyz", tmp_path / "run", **options)
        (tmp_path / "run").mkdir()
        return rounds._Learning(given, [bulk("Cu", cubic=True)], Labeller(Teacher(EMT), tmp_path / "log"))

    return make


def test_new_element_is_refused(begun: Callable[..., rounds._Learning]) -> None:
    with pytest.raises(ValueError, match="structures must have elements of the start structures, got H, O too"):
        begun().ask([molecule("H2O")], "sampled", 1)


def test_why_it_stops(begun: Callable[..., rounds._Learning]) -> None:
    learning = begun(patience=2, max_labels=10_000, minutes=1e3)
    assert learning.why_stopped() is None
    for error, expected in ((50.0, None), (40.0, None), (None, None), (39.0, "has not become better in 2 rounds")):
        learning.rounds.append({"error_meV_per_A": error})
        stopped = learning.why_stopped()
        assert stopped is None if expected is None else expected in str(stopped)
    learning.rounds[-1] = {
        "error_meV_per_A": 0.9,
        "certificate": {"forces_rmse_meV_per_A": 0.8, "ended": None},
    }
    assert learning.why_stopped() == "the target of 1 meV/A is reached"
    learning.rounds[-1]["certificate"]["ended"] = "the dynamics exploded"
    assert learning.why_stopped() is None
    learning.clock = Clock(learning.out, before=1e6)
    assert learning.why_stopped() == "--minutes 1000 are over"


def test_structures_of_a_test_are_spread() -> None:
    frames = [Atoms("Cu", positions=[[float(k), 0, 0]]) for k in range(101)]
    places = [int(atoms.positions[0, 0]) for atoms in rounds._spread(frames, 5)]
    assert places == [1, 26, 50, 75, 100] or places == [1, 26, 51, 75, 100]
    assert rounds._spread([], 5) == []


@pytest.mark.long
def test_labels_on_the_disk_are_those_of_the_teacher(finished: LearnResult) -> None:
    frame = read(finished.out / "labels.xyz", -1)
    assert isinstance(frame, Atoms)
    forces = frame.get_forces()
    frame.calc = Teacher(EMT).make()
    assert np.abs(frame.get_forces() - forces).max() < 1e-8


@pytest.mark.exhaustive
def test_intervals_hold_along_the_own_dynamics(tmp_path: Path) -> None:
    """From one structure: what the certificate states is true of its labels, and its target is reached."""
    options = {
        "epochs": 100,
        "labels": 40,
        "test_labels": 20,
        "ps": 10.0,
        "cutoff": 4.5,
        "model": {},
        "max_labels": 600,
    }
    found = learn(settings(copper(tmp_path / "copper.xyz"), tmp_path / "run", target_force_error=20.0, **options))
    assert found.reached
    assert found.certificate["ps"] == pytest.approx(10.0)
    assert 0.9 <= found.certificate["forces_coverage"]["95%"] <= 0.98


def test_units_that_agree_with_each_other_are_doubted(
    begun: Callable[..., rounds._Learning], capsys: pytest.CaptureFixture[str]
) -> None:
    learning = begun()
    frames = []
    for frame in ethanol("train")[:20]:
        frame.energy, frame.forces = frame.energy / 27.2114, frame.forces / 27.2114  # in hartree and hartree/A
        frames.append(to_atoms(frame))
    learning.check_first(frames)
    assert len(learning.state["doubts"]) == 2
    assert "WARNING: unit of the forces" in capsys.readouterr().out
