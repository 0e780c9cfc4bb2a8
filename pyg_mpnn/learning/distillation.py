"""From a teacher and structures to a student that is trained on the teacher's labels and compared with it."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from ase import Atoms
from torch_geometric.data import Data

from pyg_mpnn.data import LabelNames, to_atoms, to_data
from pyg_mpnn.data.frames import CheckedFrames
from pyg_mpnn.data.read import iterate_structures, load_frames
from pyg_mpnn.deploy import CompileMode
from pyg_mpnn.files import hold_folder, write_json
from pyg_mpnn.learning.comparison import errors_of_labels, mean_offset, seconds_of, spread_of
from pyg_mpnn.learning.distill_settings import FREE, DistillSettings
from pyg_mpnn.learning.labelling import Labeller
from pyg_mpnn.learning.labels import digest
from pyg_mpnn.learning.own_teacher import is_own, load_own, own_teacher
from pyg_mpnn.learning.run import Run, check_folder, check_start
from pyg_mpnn.learning.teacher import Label, Teacher, as_written
from pyg_mpnn.learning.walks import KIND, Walks
from pyg_mpnn.models import Committee, EnergyModel, Potential
from pyg_mpnn.models.checks import choose_device
from pyg_mpnn.training import compute_errors, predict, train
from pyg_mpnn.training.table import error_table

REPORT = "distillation.json"
FEWEST = 20
"""Labels below which no student is trained."""

_MANY = 3000  # evaluations from which a teacher of ours is compiled
_COMPARED, _ALIKE_FORCES, _ALIKE_ENERGY = 3, 0.02, 0.005  # labels of a file; eV/A; eV per atom
_OTHER_LEVEL = 0.05  # eV per atom
_T = TypeVar("_T")


@dataclass(frozen=True)
class DistillResult:
    """What a distillation leaves.

    Args:
        model: The student, in potential.pt.
        report: What distillation.json holds.
        out: The folder.

    Units:
        As the names say.
    """

    model: Potential
    report: dict[str, Any]
    out: Path


def distill(settings: DistillSettings) -> DistillResult:
    """Train a student on a teacher's labels, and compare the two.

    The teacher labels the structures of the file, and draws more by its own dynamics where that is asked for; each
    label is on the disk at once. The student is trained by :func:`pyg_mpnn.training.train` on energies, forces and, of
    crystals, stresses. Validation structures are labelled by the teacher too, so that the error on them is the
    student's error against the teacher; reference labels, where there are some, judge both. Both are timed as ASE
    calculators on the same structures.

    Args:
        settings: Teacher, structures, and student.

    Returns:
        The student and how it compares.

    Units:
        A, eV, fs, K; errors in meV and meV/A.

    Raises:
        FileExistsError: The folder is not empty, or another process works in it.
        FileNotFoundError: A file is absent, or there is nothing to resume.
        ValueError: The teacher cannot be made, its forces are not the gradient of its energy, or it fails too often;
            structures are unusable; or what is resumed is not the same.
        OSError: The disk is full; make room and resume.

    Source:
        Hinton, Vinyals and Dean, arXiv:1503.02531 (2015); for potentials from a teacher's dynamics: Morrow and
        Deringer, J. Chem. Phys. 157, 104105 (2022).
    """
    out = Path(settings.out)
    check_folder(out, settings.resume)
    choose_device(settings.device)
    own = load_own(settings.name, settings.trust) if is_own(settings.name) else None
    if own is not None and len(settings.teacher) > 1:
        raise ValueError(f"'teacher' must have no arguments where it is a potential, got {settings.teacher}")
    given = _read(settings)
    tested = None if settings.test is None else load_frames(settings.test, "test")
    truth = None if settings.truth is None else load_frames(settings.truth)
    _check_elements(own, given, tested, truth)
    evaluations = len(given) + len(tested or ()) + settings.sample * settings.every
    teacher = _teacher(settings, settings.compile if evaluations >= _MANY else "off")
    out.mkdir(parents=True, exist_ok=True)
    workers = Labeller(teacher, out / "teacher.txt", processes=settings.processes, seconds=settings.label_seconds)
    with hold_folder(out), contextlib.ExitStack() as lasting:
        with workers as labeller:  # which needs memory, and ends before the training
            run = _Distillation(settings, given, own, labeller)
            lasting.enter_context(run.clock)
            labels = run.collect(tested, truth)
        return run.finish(run.train(labels, truth), labels)


def _teacher(settings: DistillSettings, compile: CompileMode) -> Teacher:
    if not is_own(settings.name):
        return settings.as_teacher
    return _own(settings.name, settings, compile)


def _own(path: str, settings: DistillSettings, compile: CompileMode) -> Teacher:
    options: dict[str, Any] = {"device": settings.device, "threads": settings.threads, "compile": compile}
    return own_teacher(path, trust=settings.trust, **options)


def _read(settings: DistillSettings) -> list[Atoms]:
    """The structures of the file, with labels where these are the teacher's; copies only once."""
    if settings.use_labels:
        labelled = [to_atoms(frame) for frame in load_frames(settings.structures, required=["energy", "forces"])]
    else:
        labelled = list(iterate_structures(settings.structures, "train", LabelNames()))
    most = settings.max_structures
    if most is not None and len(labelled) > most:
        print(f"{len(labelled)} structures: {most} of them are labelled, evenly over the file (--max-structures)")
        labelled = [labelled[place] for place in np.linspace(0, len(labelled) - 1, most).round().astype(int)]
    found: dict[str, Atoms] = {}
    for index, atoms in enumerate(labelled):
        check_start(atoms, f"structure {index} of {settings.structures}")
        if settings.use_labels and (absent := {"energy", "forces"} - set(atoms.calc.results)):
            raise ValueError(
                f"'use_labels' is for structures with energy and forces, got structure {index} of "
                f"{settings.structures} without {' and '.join(sorted(absent))}"
            )
        plain = as_written(atoms)
        plain.calc = atoms.calc if settings.use_labels else None
        found.setdefault(digest(plain), plain)
    if len(found) < len(labelled):
        print(f"{len(labelled) - len(found)} structures of {settings.structures} are copies of others, and left out")
    return list(found.values())


def _check_elements(
    own: EnergyModel | None, given: Sequence[Atoms], tested: CheckedFrames | None, truth: CheckedFrames | None
) -> None:
    """Refuse elements that a teacher of ours, or the student, will not know."""
    seen = {int(z) for atoms in given for z in atoms.numbers}
    if own is not None and (unknown := sorted(seen - set(own.elements))):
        raise ValueError(
            f"'structures' must have elements that the teacher knows ({list(own.elements)}), got {unknown} too"
        )
    for name, frames in (("test", tested), ("truth", truth)):
        unknown = sorted({int(z) for frame in frames or () for z in frame.z} - seen)
        if unknown:
            raise ValueError(f"{name!r} must have elements of 'structures' ({sorted(seen)}), got {unknown} too")


class _Labels(NamedTuple):
    """What a teacher was asked for."""

    train: list[Atoms]
    valid: list[Atoms]
    judged: tuple[list[Data], list[Atoms]] | None
    """Test structures with both labels."""
    true: int
    """Number of structures with true labels."""
    offset: float | None
    """Mean energy of the teacher above these, in meV per atom."""


class _Distillation(Run):
    def __init__(
        self, settings: DistillSettings, given: list[Atoms], own: EnergyModel | None, labeller: Labeller
    ) -> None:
        self.settings, self.given, self.own, self.labeller = settings, given, own, labeller
        super().__init__(settings, FREE, given, labeller)

    def collect(self, tested: CheckedFrames | None, truth: CheckedFrames | None) -> _Labels:
        """All that the teacher is asked for."""
        settings = self.settings
        self.say(f"teacher {self.name}; {len(self.given)} structures in {settings.structures}")
        if self.state["noise_meV_per_A"] is None:
            self.state["noise_meV_per_A"] = self.ask.probe(self.given[0], settings.seed)
            self.keep()
        labelled = self.take_labels() if settings.use_labels else self.ask(self.given, "given", 0)
        if settings.sample:
            self.sample()
        offset = self.check_truth(truth)
        true = {digest(as_written(to_atoms(frame))) for frame in truth or ()}
        given = [atoms for atoms in labelled if atoms.info["digest"] not in true]
        if len(given) < len(labelled):
            self.say(f"{len(labelled) - len(given)} structures are in {settings.truth} too: their true labels count")
        frames, valid = self.split(given)
        self.doubt(frames)
        judged = None if tested is None else self.label_test(tested)
        return _Labels(frames, valid, judged, len(true), offset)

    @property
    def name(self) -> str:
        return self.settings.name if self.own is not None else str(self.settings.as_teacher)

    def take_labels(self) -> list[Atoms]:
        """The labels of the file, which must be what the teacher says."""
        chosen = [self.given[place] for place in sorted({0, len(self.given) // 2, len(self.given) - 1})][:_COMPARED]
        for atoms, label in self._pairs(chosen, chosen, "compared"):
            apart = (atoms.get_potential_energy() - label.get_potential_energy()) / len(atoms)
            forces = float(np.sqrt(np.mean((atoms.get_forces() - label.get_forces()) ** 2)))
            if abs(apart) > _ALIKE_ENERGY or forces > _ALIKE_FORCES:
                raise ValueError(
                    f"'use_labels' is for labels that the teacher would give, got an energy that differs by "
                    f"{1e3 * apart:.3g} meV per atom and forces by {1e3 * forces:.3g} meV/A: leave it out to label the "
                    "structures anew, or give the file as 'truth'"
                )
        for atoms in self.given:
            if not self.store.knows(atoms):
                results = atoms.calc.results
                stress = results.get("stress")
                self.store.add(atoms, Label(results["energy"], results["forces"], stress), "given", 0)
        found = [self.store.find(atoms) for atoms in self.given]
        return [atoms for atoms in found if atoms is not None]

    def sample(self) -> None:
        """Draw structures by the teacher's own dynamics."""
        settings = self.settings
        walks = Walks(
            self.given,
            self.store,
            self.labeller,
            self.out / "walks.npz",
            self.say,
            walks=settings.walks,
            temperatures=settings.temperatures,
            timestep=settings.timestep,
            every=settings.every,
            seed=settings.seed,
        )
        kelvin = ", ".join(f"{value:g}" for value in dict.fromkeys(walks.temperatures))
        self.say(f"{settings.walks} walks of the teacher at {kelvin} K: {walks.kept} of {settings.sample} structures")
        walks.run(settings.sample)
        self.keep()

    def check_truth(self, truth: CheckedFrames | None) -> float | None:
        """Refuse labels of another level of theory, whose energies would pull the student elsewhere."""
        if truth is None:
            return None
        few = [truth[place] for place in np.linspace(0, len(truth) - 1, min(len(truth), 10)).round().astype(int)]
        pairs = self._pairs(few, [to_atoms(frame) for frame in few], "compared")
        offset = mean_offset([atoms for _, atoms in pairs], [frame for frame, _ in pairs])
        if offset is not None and abs(offset) > 1e3 * _OTHER_LEVEL:
            raise ValueError(
                f"'truth' must have energies of the teacher's level of theory, got some that differ from the "
                f"teacher's by {-offset:.4g} meV per atom on average: leave it out, or shift them"
            )
        return offset

    def label_test(self, tested: CheckedFrames) -> tuple[list[Data], list[Atoms]]:
        """Test structures that the teacher has a label for, with both labels."""
        self.say(f"the teacher on {len(tested)} test structures")
        pairs = self._pairs(list(tested), [to_atoms(frame) for frame in tested], "test")
        return [frame for frame, _ in pairs], [atoms for _, atoms in pairs]

    def _pairs(self, items: Sequence[_T], structures: Sequence[Atoms], kind: str) -> list[tuple[_T, Atoms]]:
        """Those of the items whose structures the teacher has a label for, with these."""
        plain = [as_written(atoms) for atoms in structures]
        self.ask(plain, kind, 0)
        pairs = [(item, self.store.find(atoms)) for item, atoms in zip(items, plain, strict=True)]
        both = [(item, atoms) for item, atoms in pairs if atoms is not None]
        if not both:
            raise ValueError(
                f"'teacher' must have labels for structures that it is compared on ({kind}), got none: "
                f"{self.store.failed[-1].info['reason']}"
            )
        return both

    def split(self, given: list[Atoms]) -> tuple[list[Atoms], list[Atoms]]:
        """Labels to train on and to validate: random ones of the file, the end of each walk."""
        share, walks = self.settings.valid_share, self.settings.walks
        order = np.random.default_rng(self.settings.seed).permutation(len(given)).tolist()
        held = set(order[: round(share * len(given))])
        train = [atoms for place, atoms in enumerate(given) if place not in held]
        valid = [given[place] for place in sorted(held)]
        drawn = sorted(self.store.frames([KIND]), key=lambda atoms: atoms.info["round"])
        for walk in range(walks):
            own = [atoms for atoms in drawn if atoms.info["round"] % walks == walk]
            end = len(own) - round(share * len(own))
            train, valid = train + own[:end], valid + own[end:]
        if len(train) + len(valid) < FEWEST or not valid:
            failed = f"; {len(self.store.failed)} have none" if self.store.failed else ""
            raise ValueError(
                f"'structures' must give at least {FEWEST} labels, one of them to validate, got "
                f"{len(train) + len(valid)}{failed}: give more structures, or draw some by 'sample'"
            )
        return train, valid

    def train(self, labels: _Labels, truth: CheckedFrames | None) -> Potential:
        """The student, also in potential.pt."""
        folder = self.out / "training"
        if folder.exists() and not (folder / "last.ckpt").is_file():  # killed before its first epoch was over
            shutil.rmtree(folder)
        of = self.settings.of_training(str(folder), (folder / "last.ckpt").is_file())
        data = [to_data(atoms) for atoms in labels.train]
        if truth is not None:
            for frame in data:
                frame.weight = torch.ones(1)
            for frame in truth:
                weighed = Data(**frame.to_dict())
                weighed.weight = self.settings.truth_weight * frame.get("weight", torch.ones(1))
                data.append(weighed)
            self.say(f"{len(truth)} structures of {self.settings.truth} are trained on too, as they are")
        self.say(f"training the student, {of.size}")
        found = train(of, frames=data, valid=[to_data(atoms) for atoms in labels.valid])
        self.keep()
        found.potential.save(self.out / "potential.pt")
        return found.potential

    def finish(self, student: Potential, labels: _Labels) -> DistillResult:
        """Compare teacher and student, say it, and write the report."""
        settings, valid = self.settings, labels.valid
        errors = compute_errors(predict(student, [to_data(of) for of in valid]))
        print(
            f"\nStudent against teacher, on {len(valid)} structures that validated the training: forces MAE "
            f"{errors.forces_mae_meV_per_A:.1f} meV/A, energy MAE {errors.energy_mae_meV_per_atom:.2f} meV/atom"
        )
        report: dict[str, Any] = {
            "teacher": self.name,
            "settings": json.loads(json.dumps(asdict(settings))),
            "noise of its forces (meV/A)": self.state["noise_meV_per_A"],
            "structures": {"trained on": len(labels.train), "validated on": len(valid), "true": labels.true},
            "doubts about its units": self.state["doubts"],
            "without a label": len(self.store.failed),
            "energy of teacher minus truth (meV per atom)": labels.offset,
            "student against teacher": asdict(errors),
        }
        if isinstance(self.own, Committee):
            spread = spread_of(self.own, valid)
            report["spread of the teacher's members (meV/A)"] = spread
            print(f"The members of the teacher are {spread:.3g} meV/A apart there (forces, root mean square)")
        if labels.judged is not None:
            frames, labelled = labels.judged
            both = {
                "teacher": errors_of_labels(labelled, frames),
                "student": compute_errors(predict(student, frames)),
            }
            report["against the reference"] = {name: asdict(errors) for name, errors in both.items()}
            level = report["energy of teacher minus reference (meV per atom)"] = mean_offset(labelled, frames)
            print(f"\nAgainst the reference, on {len(frames)} structures of {settings.test}\n\n{error_table(both)}")
            if level is not None and abs(level) > 1e3 * _OTHER_LEVEL:
                print(
                    f"\nThe teacher's energies are {level:.4g} meV per atom off the reference's on average: it is of "
                    "another level of theory, and only forces compare"
                )
        report["time"] = self.time_both(valid, student)
        report["seconds"] = self.seconds
        write_json(self.out / REPORT, report)
        self.say(f"in {self.out}: potential.pt, {REPORT}, labels.xyz, training/model_card.md")
        return DistillResult(student, report, self.out)

    def time_both(self, structures: Sequence[Atoms], student: Potential) -> dict[str, Any]:
        """Time of teacher and student for the same structures."""
        settings = self.settings
        plain = [as_written(atoms) for atoms in structures]
        mode = settings.of_training("", False).compile_mode(settings.sample + len(self.given))[0]
        file = str(self.out / "potential.pt")
        whole = _own(file, settings, mode)
        log = self.out / "teacher.txt"
        first, count = seconds_of(_teacher(settings, mode), plain, log)
        second, _ = seconds_of(whole, plain, log)
        print(
            f"\nOne structure of {len(plain[0])} atoms, energy and forces by an ASE calculator (median of {count}): "
            f"teacher {1e3 * first:.3g} ms, student {1e3 * second:.3g} ms, {first / second:.3g} times faster"
        )
        return {
            "teacher_ms": 1e3 * first,
            "student_ms": 1e3 * second,
            "times_faster": first / second,
            "structures": count,
            "atoms": len(plain[0]),
            "compiled": mode != "off",
            "student_parameters": sum(parameter.numel() for parameter in student.parameters()),
        }
