"""Rounds of sampling, selecting, labelling, training and testing, until the student is good enough."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from pyg_mpnn.data import to_data
from pyg_mpnn.files import hold_folder, write_json
from pyg_mpnn.learning.certificate import write_certificate
from pyg_mpnn.learning.exploration import explore
from pyg_mpnn.learning.labelling import Labeller
from pyg_mpnn.learning.picture import plot_learning
from pyg_mpnn.learning.run import Run, check_folder, check_weights, read_starts
from pyg_mpnn.learning.sampling import (
    CLOSEST,
    Walk,
    closeness,
    displaced,
    read_structures_file,
    read_walk,
    walk,
    write_structures_file,
)
from pyg_mpnn.learning.selection import describe
from pyg_mpnn.learning.settings import FEWEST, FREE, LearnSettings
from pyg_mpnn.learning.student import judge_student, train_student
from pyg_mpnn.models import Committee, load_potential
from pyg_mpnn.models.checks import choose_device
from pyg_mpnn.training import calibrate

KINDS = ("displaced", "sampled", "test", "certificate")
"""What labels are for, in the order of a round, but those of the probe."""

_STEEP = 25.0  # eV/A: force in a start structure, from which dynamics explodes
_BETTER = 0.95  # of the best error so far


@dataclass(frozen=True)
class LearnResult:
    """What a run of learning leaves.

    Args:
        model: The student, in potential.pt.
        reached: Whether the error on the certificate's dynamics is below the target.
        stopped: Why no further round began.
        rounds: What each round found, as in state.json.
        certificate: Errors and error bars along the student's own dynamics that nothing was fitted to.
        out: The folder.

    Units:
        As the names say.
    """

    model: Committee
    reached: bool
    stopped: str
    rounds: list[dict[str, Any]]
    certificate: dict[str, Any]
    out: Path


def learn(settings: LearnSettings) -> LearnResult:
    """Learn a potential from a teacher, and certify it.

    Each round samples structures (displaced and strained at first, then by dynamics with the student at rising
    temperatures, stopped where it knows too little), selects those of large error bars that are far from each other and
    from all that have labels, asks the teacher for their labels, trains a committee on all labels from the weights of
    the round before, and tests it: on structures of a new dynamics of the student, labelled by the teacher, which also
    calibrate its error bars. When its error there, and the error that it states along the whole dynamics, are below the
    target, another dynamics of the student, longer and with labels that nothing is fitted to, is the certificate. If
    that is below the target too, the run is done.

    A run goes on with ``resume`` after a kill, a full disk or the end of a budget; no label is computed twice.

    Args:
        settings: Whom to learn from, how well, and at what price.

    Returns:
        The student and what it is worth.

    Units:
        A, eV, fs, K; errors in meV/A.

    Raises:
        FileExistsError: The folder is not empty, or another process works in it.
        FileNotFoundError: There is no file of structures, or nothing to resume.
        ValueError: The teacher cannot be made, its forces are not the gradient of its energy, its noise is above the
            target, or it fails too often; start structures are unusable; or what is resumed is not the same.
        OSError: The disk is full; make room and resume.

    Source:
        own design; of the kind of Zhang et al., Phys. Rev. Mater. 3, 023804 (2019), arXiv:1810.11890.
    """
    out = Path(settings.out)
    check_folder(out, settings.resume)
    choose_device(settings.device)
    starts = read_starts(settings)
    check_weights(settings, starts)
    out.mkdir(parents=True, exist_ok=True)
    labels = {"processes": settings.processes, "seconds": settings.label_seconds}
    with hold_folder(out), Labeller(settings.as_teacher, out / "teacher.txt", **labels) as labeller:  # type: ignore[arg-type]
        learning = _Learning(settings, starts, labeller)
        with learning.clock:
            return learning.run()


class _Learning(Run):
    def __init__(self, settings: LearnSettings, starts: list[Atoms], labeller: Labeller) -> None:
        self.settings = settings
        super().__init__(settings, FREE, starts, labeller, rounds=[])
        self.state["stopped"] = None
        self.keep()

    @property
    def rounds(self) -> list[dict[str, Any]]:
        rounds: list[dict[str, Any]] = self.state["rounds"]
        return rounds

    def folder(self, number: int) -> Path:
        return self.out / f"round-{number}"

    def run(self) -> LearnResult:
        settings = self.settings
        self.say(f"teacher {settings.as_teacher}; target {settings.target_force_error:g} meV/A")
        self.probe()
        while (stopped := self.why_stopped()) is None:
            self.round(len(self.rounds))
        self.state["stopped"] = stopped
        self.keep()
        return self.finish(stopped)

    def why_stopped(self) -> str | None:
        """Why no further round begins."""
        settings, rounds = self.settings, self.rounds
        if not rounds:
            return None
        target = settings.target_force_error
        certificate = rounds[-1].get("certificate")
        if certificate and _reached(certificate, target):
            return f"the target of {target:g} meV/A is reached"
        if self.asked + settings.labels + 3 * settings.test_labels > settings.max_labels:
            return f"--max-labels {settings.max_labels} leaves none for another round with its test and certificate"
        if settings.minutes is not None and self.seconds > 60 * settings.minutes:
            return f"--minutes {settings.minutes:g} are over"
        errors = [found["error_meV_per_A"] or float("inf") for found in rounds]
        best, since = float("inf"), 0
        for error in errors:
            best, since = (error, 0) if error < _BETTER * best else (best, since + 1)
        if since >= settings.patience:
            return f"the student has not become better in {since} rounds (--patience)"
        return None

    def probe(self) -> None:
        """Refuse a teacher whose forces are wrong or noisier than the target."""
        if self.state["noise_meV_per_A"] is not None:
            return
        noise = self.ask.probe(self.starts[0], self.settings.seed)
        target = self.settings.target_force_error
        if noise > target:
            raise ValueError(
                f"'target_force_error' must be above the noise of the teacher's forces, got {target:g} meV/A beside "
                f"{noise:.3g}: they differ so much from the gradient of its energy or between two places in space; "
                "converge it better, or ask for less"
            )
        self.state["noise_meV_per_A"] = noise
        self.keep()

    def round(self, number: int) -> None:
        """One round, from where it was interrupted."""
        began = self.seconds
        record: dict[str, Any] = {"round": number}
        chosen = self.sample(number, record)
        found = self.ask(chosen, "sampled" if number else "displaced", number)
        if number == 0:
            self.check_first(found)
        record["labels"], record["failures"] = len(self.store), len(self.store.failed)
        record["trained_on"] = self.train(number)
        reached = self.test(number, record)
        if reached:
            record["certificate"] = self.certify(number)
        record["seconds"] = self.seconds - began
        record["labels"], record["failures"] = len(self.store), len(self.store.failed)
        self.rounds.append(record)
        self.keep()

    def check_first(self, found: Sequence[Atoms]) -> None:
        if len(found) < FEWEST:
            reason = self.store.failed[-1].info["reason"] if self.store.failed else "none failed"
            raise ValueError(
                f"'teacher' must have labels for at least {FEWEST} structures to begin with, got {len(found)}: {reason}"
            )
        steepest = max(float(np.abs(atoms.get_forces()).max()) for atoms in found[: len(self.starts)])
        if steepest > _STEEP:
            raise ValueError(
                f"'structures' must be near a minimum, got a force of {steepest:.3g} eV/A: relax them first"
            )
        self.doubt(found)

    def sample(self, number: int, record: dict[str, Any]) -> list[Atoms]:
        """Structures to label in this round."""
        settings, folder = self.settings, self.folder(number)
        path, notes = folder / "selected.xyz", folder / "sampling.json"
        if path.is_file() and notes.is_file():
            record |= json.loads(notes.read_text())
            return read_structures_file(path)
        if number == 0:
            chosen = displaced(self.starts, settings.labels, settings.seed)
            said: dict[str, Any] = {"candidates": len(chosen), "selected": len(chosen), "walks": []}
            self.say(f"round 0: {len(chosen)} structures, displaced and strained")
        else:
            chosen, said = self.explore(number)
        record |= said
        write_json(notes, said)
        write_structures_file(path, chosen)
        return chosen

    def explore(self, number: int) -> tuple[list[Atoms], dict[str, Any]]:
        """Structures from dynamics of the last student."""
        file = self.folder(number - 1) / "student.pt"

        def walk_from(start: Atoms, name: str, factor: float, limit: float) -> Walk:
            return self.walk(file, start, number, name, self.settings.test_steps, factor, limit)

        top = self.rounds[-1]["next_hottest"]
        labelled = self.training_frames()
        return explore(self.settings, self.starts, self.load(file), labelled, number, top, walk_from, self.say)

    def walk(
        self, file: Path, start: Atoms, number: int, name: str, steps: int, factor: float, limit: float | None = None
    ) -> Walk:
        settings = self.settings
        return walk(
            file,
            start,
            self.folder(number) / name,
            steps=steps,
            timestep=settings.timestep,
            temperature=factor * settings.temperature,
            seed=settings.seed + 1000 * number + sum(map(ord, name)),
            limit=limit,
            device=settings.device,
            threads=settings.threads,
            compile=settings.compile,
            trust=settings.trust,
        )

    def load(self, file: Path) -> Committee:
        model = load_potential(file, trust=self.settings.trust)
        assert isinstance(model, Committee)
        return model.to(choose_device(self.settings.device)).eval()

    def training_frames(self) -> list[Atoms]:
        """All labels but those of the probe, in an order that the number of processes does not change."""

        def place(frame: Atoms) -> tuple[int, int, str]:
            return frame.info["round"], KINDS.index(frame.info["config_type"]), frame.info["digest"]

        return sorted(self.store.frames(KINDS), key=place)

    def train(self, number: int) -> int:
        """Train the committee of this round on all labels there are before its test."""
        settings, folder = self.settings, self.folder(number) / "committee"
        fresh = KINDS[2:]  # of this round: what it is tested on
        frames = [
            of
            for of in self.training_frames()
            if (of.info["round"], of.info["config_type"]) not in [(number, kind) for kind in fresh]
        ]
        if not (folder / "committee.pt").is_file():
            train_student(settings, number, frames, folder, self.folder(number - 1) / "committee", self.say)
            self.keep()
        return len(frames)

    def test(self, number: int, record: dict[str, Any]) -> bool:
        """Test the student on its own dynamics, and calibrate its error bars there; whether it is good enough."""
        settings, folder = self.settings, self.folder(number)
        file = folder / "committee" / "committee.pt"
        start = self.starts[number % len(self.starts)]
        found = self.walk(file, start, number, "test", settings.test_steps, 1.0)
        labelled = self.ask(_spread(found.frames, settings.test_labels), "test", number)
        model = self.load(file)
        record.setdefault("next_hottest", 1.5)
        record["test"] = {"ended": found.ended, "structures": len(labelled)}
        record["error_meV_per_A"] = None
        if len(labelled) >= 10:
            data = [to_data(atoms) for atoms in labelled]
            record["test"] |= judge_student(model, data)
            calibrate(model, data)
            _, bars = describe(model, found.frames)
            stated = 1e3 * float(np.sqrt(np.mean(bars**2)))
            record["test"]["stated_meV_per_A"] = stated
            record["error_meV_per_A"] = max(stated, record["test"]["forces_rmse_meV_per_A"])
        model.save(folder / "student.pt")
        error = record["error_meV_per_A"]
        if error is None or found.ended:
            self.say(f"round {number}: the test ended early: {found.ended or 'too few labels'}")
            return False
        inside = record["test"]["forces_coverage"]["95%"]
        self.say(
            f"round {number}: error along its own dynamics {error:.1f} meV/A (target {settings.target_force_error:g}); "
            f"{inside:.0%} of the errors were inside the 95% intervals before calibration"
        )
        return bool(error <= settings.target_force_error)

    def certify(self, number: int) -> dict[str, Any]:
        """Test the calibrated student on a longer dynamics, with labels that nothing is fitted to."""
        settings = self.settings
        file = self.folder(number) / "student.pt"
        start = self.starts[number % len(self.starts)]
        self.say(f"certificate: {settings.ps:g} ps at {settings.temperature:g} K with the student of round {number}")
        found = self.walk(file, start, number, "certificate", 5 * settings.test_steps, 1.0)
        labelled = self.ask(_spread(found.frames, 2 * settings.test_labels), "certificate", number)
        judged: dict[str, Any] = {"ended": found.ended, "structures": len(labelled), "ps": 1e-3 * found.times[-1]}
        if not labelled:
            raise ValueError(
                "'teacher' must have labels for structures of the student's own dynamics, got none: "
                f"{found.ended or self.store.failed[-1].info['reason']}"
            )
        judged |= judge_student(self.load(file), [to_data(atoms) for atoms in labelled])
        self.say(
            f"certificate: force RMSE {judged['forces_rmse_meV_per_A']:.1f} meV/A; "
            f"{judged['forces_coverage']['95%']:.1%} of the errors inside the 95% intervals"
        )
        return judged

    def finish(self, stopped: str) -> LearnResult:
        """Certify the last student where that is not done, and write what there is to read."""
        last = self.rounds[-1]
        if last.get("certificate") is None:
            last["certificate"] = self.certify(last["round"])
            self.keep()
        number, certificate = last["round"], last["certificate"]
        model = self.load(self.folder(number) / "student.pt")
        model.save(self.out / "potential.pt")
        frames = self.store.frames(["certificate"], number)
        target = self.settings.target_force_error
        reached = _reached(certificate, target)
        write_certificate(self.out, self.settings, self.state, model, self.store, frames)
        ran = read_walk(self.folder(number) / "certificate")
        assert ran is not None
        plot_learning(self.out / "learning.png", self.state, target, model, self.store, ran, frames)
        self.say(f"stopped: {stopped}")
        how = "is as good as asked for" if reached else f"is NOT as good as asked for ({target:g})"
        self.say(
            f"the student {how}: {certificate['forces_rmse_meV_per_A']:.1f} meV/A along its own dynamics. In "
            f"{self.out}: potential.pt, model_card.md, learning.png, labels.xyz"
        )
        return LearnResult(model, reached, stopped, self.rounds, certificate, self.out)


def _reached(certificate: dict[str, Any], target: float) -> bool:
    return bool(certificate["forces_rmse_meV_per_A"] <= target and not certificate["ended"])


def _spread(frames: Sequence[Atoms], count: int) -> list[Atoms]:
    """Some structures of a dynamics, evenly spaced, but the first and those with atoms too close."""
    usable = [atoms for atoms in frames[1:] if closeness(atoms) > CLOSEST]
    if not usable:
        return []
    places = np.unique(np.linspace(0, len(usable) - 1, min(count, len(usable))).round().astype(int))
    return [usable[place] for place in places]
