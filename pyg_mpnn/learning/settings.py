"""What a run of learning is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pyg_mpnn.arguments import check_positive, check_whole
from pyg_mpnn.learning.teacher import Teacher
from pyg_mpnn.models.sizes import compose, size_of_student

FREE = frozenset(
    {"out", "target_force_error", "max_labels", "minutes", "processes", "label_seconds", "patience"}
    | {"resume", "device", "threads", "compile", "trust"}
)
"""What may differ where a run goes on."""

FEWEST = 20  # labels of a round; half of those of the first validate, and ten of these calibrate


@dataclass(frozen=True)
class LearnSettings:
    """What to learn from whom, how well, and at what price; with defaults that suit small molecules and cells.

    Args:
        teacher: ASE calculator to learn from, as ``package.module:Class`` or ``file.py:Class``, with its arguments:
            ``--teacher tblite.ase:TBLite --teacher.method GFN2-xTB``. Its code runs: name what you trust. It must be
            deterministic and in eV and A; a trained potential is one too (``--teacher pyg_mpnn.md:PotentialCalculator
            --teacher.potential FILE``).
        structures: File with one or more structures to start from, near a minimum, in any format that training reads.
        out: Folder for the results: potential.pt, model_card.md and .json, learning.png, labels.xyz, failures.xyz,
            state.json, and a folder for each round.
        target_force_error: Stop when the error of a force component along the student's own dynamics is below this,
            in meV/A.
        max_labels: Most structures to ask the teacher for in all, those of tests and failures included.
        minutes: Time after which no further round begins; no limit without it.
        temperature: Of the dynamics that the potential is made for, in K; sampling goes beyond.
        timestep: Of dynamics, in fs: 0.5 with hydrogen, 2 to 5 in a metal.
        ps: Length of the dynamics that the certificate is from, in ps; the test of each round has a fifth.
        labels: Structures of each round to label and train on, at least 20.
        test_labels: Structures of the student's own dynamics to label in the test of each round; the certificate has
            twice as many.
        committee: Number of potentials whose spread is the error bar.
        size: Size of each potential; small without it and without ``start_from``.
        cutoff: Distance in A up to which two atoms are neighbours, or several, as of train.
        model: Other arguments of the potential by name, as of train: ``--model.l_max 3``.
        start_from: Potential that the first round's members start from in place of random weights: a file, or the name
            of one that comes with the package (``organic``). Size, cutoff and all else of the model are its own.
            Members that start alike differ less: look at the coverage in the certificate.
        train_minutes: Time to train each member in each round; 1 without it and without ``epochs``.
        epochs: Passes over the labels, in place of ``train_minutes``.
        processes: Number of processes with a teacher.
        label_seconds: Longest time for one label; a teacher that takes longer is stopped, and the structure set aside.
        patience: Rounds without a better student after which to stop.
        seed: Of the weights, the dynamics and the displacements.
        resume: Go on in ``out``; no label is computed twice. Budgets and target may be others, all else must be the
            same.
        device: Where the student computes: auto (a GPU if there is one), cpu, cuda or cuda:0.
        threads: Number of CPU threads of the student; by default one where compiled, else PyTorch's own choice.
        compile: As of train and md.
        trust: Code of your own that ``model`` is made of and that may run, for example my_net.py.

    Units:
        meV/A, K, fs, ps, A, minutes, as said above.

    Raises:
        ValueError: A value is out of range.

    Example:
        >>> str(LearnSettings({"class": "ase.calculators.emt:EMT"}, "copper.xyz", "run").as_teacher)
        'ase.calculators.emt:EMT()'
    """

    teacher: dict[str, Any]
    structures: str
    out: str
    target_force_error: float = 30.0
    max_labels: int = 500
    minutes: float | None = None
    temperature: float = 300.0
    timestep: float = 0.5
    ps: float = 10.0
    labels: int = 40
    test_labels: int = 20
    committee: int = 3
    size: Literal["small", "base", "large"] | None = None
    cutoff: float | Sequence[float] | None = None
    model: dict[str, Any] = field(default_factory=dict)
    start_from: str | None = None
    train_minutes: float | None = None
    epochs: int | None = None
    processes: int = 1
    label_seconds: float = 600.0
    patience: int = 4
    seed: int = 0
    resume: bool = False
    device: str = "auto"
    threads: int | None = None
    compile: Literal["auto", "on", "off"] = "auto"
    trust: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.start_from is None:
            object.__setattr__(self, "size", self.size or size_of_student(self.model))
            _, typed = compose(str(self.size), self.model)  # what is typed is trusted
            object.__setattr__(self, "trust", (*(self.trust or ()), *typed))
        elif (self.size, self.cutoff, self.model) != (None, None, {}):
            raise ValueError(
                "'size', 'cutoff' and 'model' must be left out with 'start_from', whose file has them, got "
                f"{self.size!r}, {self.cutoff} and {self.model}"
            )
        _ = self.as_teacher  # which may be unusable
        for name in ("target_force_error", "temperature", "timestep", "ps", "label_seconds"):
            check_positive(**{name: getattr(self, name)})
        for name in ("minutes", "train_minutes"):
            if getattr(self, name) is not None:
                check_positive(**{name: getattr(self, name)})
        check_whole(processes=self.processes, patience=self.patience)
        check_whole(least=0, seed=self.seed)
        check_whole(least=2, committee=self.committee)
        check_whole(least=FEWEST, labels=self.labels)
        check_whole(least=10, test_labels=self.test_labels)
        if self.epochs is not None:
            check_whole(epochs=self.epochs)
        if self.epochs is not None and self.train_minutes is not None:
            raise ValueError(
                f"'epochs' and 'train_minutes' exclude each other, got {self.epochs} and {self.train_minutes}: give one"
            )
        if self.test_steps < self.test_labels:
            raise ValueError(
                f"'ps' must be long enough for {self.test_labels} different structures in a fifth of it, got {self.ps} "
                f"with a time step of {self.timestep} fs: give at least "
                f"{5e-3 * self.test_labels * self.timestep:g}, or fewer --test-labels"
            )
        if self.max_labels < self.least_labels:
            raise ValueError(
                f"'max_labels' must be at least {self.least_labels} for one round, its test and a certificate, got "
                f"{self.max_labels}"
            )

    @property
    def as_teacher(self) -> Teacher:
        """The teacher, by its name and arguments."""
        arguments = dict(self.teacher)
        return Teacher(arguments.pop("class", ""), arguments)

    @property
    def test_steps(self) -> int:
        """Time steps of the test of a round."""
        return round(200 * self.ps / self.timestep)

    @property
    def least_labels(self) -> int:
        """Labels that one round takes, its test and certificate, with the six of the probe."""
        return 6 + self.labels + 3 * self.test_labels
