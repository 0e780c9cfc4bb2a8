"""What a distillation is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pyg_mpnn.arguments import check_positive, check_whole
from pyg_mpnn.learning.teacher import Teacher
from pyg_mpnn.models.sizes import compose, size_of_student
from pyg_mpnn.training.settings import DEFAULT_MINUTES, TrainingSettings

FREE = frozenset(
    {"out", "minutes", "processes", "label_seconds", "resume", "device", "threads", "compile", "trust", "test"}
    | {"timestep", "temperature"}
)
"""What may differ where a distillation goes on; a dynamics that explodes wants another time step."""

_OWN = (
    *("data", "out", "test", "size", "cutoff", "model", "epochs", "minutes", "seed", "resume", "device", "threads"),
    *("compile", "trust", "committee", "stream", "target", "without_energy", "outputs", "valid_size", "split_seed"),
)


@dataclass(frozen=True)
class DistillSettings:
    """A teacher, structures, and the student to train on the teacher's labels.

    Args:
        teacher: Whose energies, forces and stresses are learned: a trained potential of this package (a file, or the
            folder of a training or of a committee, whose mean it then is), or any ASE calculator as
            ``package.module:Class`` or ``file.py:Class`` with its arguments (``--teacher tblite.ase:TBLite
            --teacher.method GFN2-xTB``). Its code runs: name what you trust. It must be deterministic and in eV and A.
        structures: File with the structures to label, in any format that training reads, or the word ``ethanol``.
        out: Folder for the results: potential.pt, distillation.json, labels.xyz, failures.xyz, and the training's own
            folder.
        use_labels: The file has the teacher's own labels: take them as they are, after three were compared with it.
        max_structures: Label so many structures of the file at most, evenly over it; all without it.
        sample: Structures to draw by the teacher's own dynamics from those of the file, and to label, in all;
            rounded up to as many from each walk.
        walks: Number of dynamics for these, side by side.
        temperature: Of these in K; several are given to them in turn.
        timestep: Of these in fs: 0.5 with hydrogen, 2 to 5 in a metal.
        interval: Time in fs from one structure to the next.
        valid_share: Part of the labels that validate the training: of the structures of the file a random one, of each
            dynamics its end.
        truth: File with labels of the teacher's own level of theory, such as what it was trained on itself, to train on
            beside its labels, as they are.
        truth_weight: Weight of each of these structures in the loss, beside 1 of each that the teacher labelled.
        test: File with reference labels, by which teacher and student are tested, both.
        size: Size of the student; small without it.
        cutoff: Distance in A up to which two atoms are neighbours, or several, as of train.
        model: Other arguments of the student by name, as of train: ``--model.l_max 1``.
        epochs: Passes over the labels; this or ``minutes``.
        minutes: Time to train; 10 without it and without ``epochs``.
        training: Other settings of train by name: ``--training.batch_size 16``, ``--training.start_from FILE``.
        processes: Number of processes with a teacher.
        label_seconds: Longest time for one label; a teacher that takes longer is stopped, and the structure set aside.
        seed: Of the weights, the dynamics and the validation structures.
        resume: Go on in ``out``; no label is computed twice.
        device: Where the student is trained, and a teacher of ours computes in each of its processes: auto (a GPU if
            there is one), cpu, cuda or cuda:0.
        threads: Number of CPU threads of the student's training, and of a teacher of ours in each of its processes; by
            default one where compiled and for the teacher.
        compile: As of train; a teacher of ours is compiled where it has thousands of structures to evaluate.
        trust: Code of your own that teacher or student are made of and that may run, for example my_net.py.

    Units:
        K, fs, A, minutes, as said above.

    Raises:
        ValueError: A value is out of range.

    Example:
        >>> DistillSettings({"class": "ase.calculators.emt:EMT"}, "copper.xyz", "run", sample=100).every
        20
    """

    teacher: dict[str, Any]
    structures: str
    out: str
    use_labels: bool = False
    max_structures: int | None = None
    sample: int = 0
    walks: int = 4
    temperature: float | Sequence[float] = (300.0,)
    timestep: float = 0.5
    interval: float = 10.0
    valid_share: float = 0.1
    truth: str | None = None
    truth_weight: float = 1.0
    test: str | None = None
    size: Literal["small", "base", "large"] | None = None
    cutoff: float | Sequence[float] | None = None
    model: dict[str, Any] = field(default_factory=dict)
    epochs: int | None = None
    minutes: float | None = None
    training: dict[str, Any] = field(default_factory=dict)
    processes: int = 1
    label_seconds: float = 600.0
    seed: int = 0
    resume: bool = False
    device: str = "auto"
    threads: int | None = None
    compile: Literal["auto", "on", "off"] = "auto"
    trust: Sequence[str] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", self.size or size_of_student(self.model))
        _, typed = compose(str(self.size), self.model)  # what is typed is trusted
        object.__setattr__(self, "trust", (*(self.trust or ()), *typed))
        given = self.temperature
        object.__setattr__(self, "temperature", tuple(given) if isinstance(given, Sequence) else (given,))
        for value in self.temperatures:
            check_positive("K", temperature=value)
        check_positive(
            timestep=self.timestep,
            interval=self.interval,
            label_seconds=self.label_seconds,
            truth_weight=self.truth_weight,
        )
        check_whole(walks=self.walks, processes=self.processes)
        check_whole(least=0, sample=self.sample, seed=self.seed)
        if self.max_structures is not None:
            check_whole(max_structures=self.max_structures)
        if not 0 < self.valid_share < 1:
            raise ValueError(f"'valid_share' must be in (0, 1), got {self.valid_share}")
        if self.interval < self.timestep:
            raise ValueError(f"'interval' must be at least the 'timestep', got {self.interval} and {self.timestep} fs")
        if not self.name:
            raise ValueError(f"'teacher' must be a file or folder of ours, or module:Class, got {self.teacher}")
        if own := sorted(set(self.training) & set(_OWN)):
            raise ValueError(f"'training' must not set what distill sets itself, got {', '.join(own)}")
        _ = self.of_training("", False)  # which may be unusable

    @property
    def name(self) -> str:
        """File, folder or class of the teacher."""
        return str(self.teacher.get("class", ""))

    @property
    def as_teacher(self) -> Teacher:
        """An ASE calculator by its name and arguments."""
        arguments = dict(self.teacher)
        return Teacher(arguments.pop("class", ""), arguments)

    @property
    def temperatures(self) -> tuple[float, ...]:
        """Those of the dynamics, in K."""
        assert isinstance(self.temperature, tuple)
        return self.temperature

    @property
    def every(self) -> int:
        """Steps of a dynamics from one structure to the next."""
        return max(1, round(self.interval / self.timestep))

    def of_training(self, out: str, resume: bool) -> TrainingSettings:
        """What the training is told.

        Args:
            out: Its folder.
            resume: Whether it goes on.

        Returns:
            The settings.

        Raises:
            ValueError: There is no such setting, a value is out of range, or a part of the model is given beside a file
                that has it.
        """
        minutes = self.minutes
        if self.epochs is None and minutes is None:
            minutes = DEFAULT_MINUTES
        start: dict[str, Any] = {"size": self.size, "cutoff": self.cutoff, "model": self.model}
        if "start_from" in self.training:
            if start != {"size": "small", "cutoff": None, "model": {}}:
                raise ValueError(
                    "'size', 'cutoff' and 'model' must be left out with 'training.start_from', whose file has them, "
                    f"got {self.size!r}, {self.cutoff} and {self.model}"
                )
            start = {}
        options: dict[str, Any] = {"force_data": True, **self.training, **start}  # hot structures stand apart
        try:
            return TrainingSettings(
                str(Path(out).parent / "labels.xyz"),
                out,
                epochs=self.epochs,
                minutes=minutes,
                seed=self.seed,
                resume=resume,
                device=self.device,
                threads=self.threads,
                compile=self.compile,
                trust=self.trust,
                **options,
            )
        except TypeError as error:
            raise ValueError(f"'training' must name settings of train, got {self.training}: {error}") from error
