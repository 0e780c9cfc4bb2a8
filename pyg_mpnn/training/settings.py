"""What a training is told: one flat, frozen record that the command line, the checkpoint and the model card share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

DEFAULT_MINUTES = 10.0
_ENERGY = ("energy_weight", "final_energy_weight")


@dataclass(frozen=True)
class TrainingSettings:
    """Everything that determines a training, with defaults that suit small molecules.

    With neither ``epochs`` nor ``minutes`` the training takes 10 minutes.

    Args:
        data: File with the structures to learn from: an rMD17/MD17 npz, or anything that ASE reads with energies and
            forces (extended XYZ, .db, .traj). The word ``ethanol`` means the shipped sample (rMD17, 1000 structures).
        out: Folder for the results, made if absent: best.ckpt, last.ckpt, metrics.csv, model_card.md and .json,
            parity.png, learning_curve.png.
        test: File with the structures for the final test; ``ethanol`` means the shipped test structures. Without it
            the final table shows the validation errors.
        valid_size: Number of structures of ``data`` set aside for validation, drawn at random with ``seed``.
        size: Size of the potential.
        cutoff: Distance in A up to which two atoms are neighbours; two or three of them make a multi-scale model.
        epochs: Passes over the training structures. Give this or ``minutes``.
        minutes: Time to train for, validation included, the final test not. Without ``epochs`` and ``minutes``: 10.
        seed: Seed of the weights, of the split and of the order of the structures.
        resume: Continue from ``out``/last.ckpt; the other settings must be those of the interrupted training, only
            ``epochs`` or ``minutes`` may grow.
        batch_size: Structures per step.
        learning_rate: Highest learning rate of Adam, reached after the warm-up; it then falls to zero along a cosine.
        warmup: Fraction of the training over which the learning rate rises from zero.
        force_weight: Weight of the forces in the loss.
        energy_weight: Weight of the energy per atom in the loss.
        final_energy_weight: The same at the end; the weight rises gradually in the last quarter of the training.
        stress_weight: Weight of the virial per atom in the loss, for structures with a known stress.
        ema_decay: Decay per step of the averaged weights, which are validated, tested and used, in [0, 1); it rises
            to this value over the first steps.
        clip: Longest gradient of a step; longer ones are shortened to it. After the first epochs the usual length is
            near 0.1.
        dtype: Precision of the network; energies are summed in float64 in any case.
        device: Where to compute; ``auto`` takes the GPU if there is one.
        threads: Number of CPU threads; PyTorch decides without it.
        compile: Compile energies and forces: faster steps after some minutes of compiling, which do not count as
            ``minutes`` and whose result is kept for later trainings. ``auto`` compiles trainings that are
            long enough for it (3 minutes, or 3000 steps) where it is possible: on a CPU, with a C++ compiler, in one
            thread. ``on`` raises where it is not possible.
        rotate: Rotate each batch at random, for models that are not invariant by themselves; without it this is done
            for exactly those.
        zbl: Add the repulsion of nuclei at distances shorter than any in the training structures, where nothing is
            learned; the checkpoint holds it.
        isolated: Energies of isolated atoms in eV by atomic number, for instance '{1: -13.6, 8: -2041.8}'. Without
            them the reference energies are fitted to the training structures.
        model: Any other argument of the potential by name, for instance ``--model.l_max 3``.

    Units:
        Lengths in A, energies in eV, time in minutes.

    Raises:
        ValueError: An argument is out of range, or both ``epochs`` and ``minutes`` are given.

    Example:
        >>> TrainingSettings(data="ethanol", out="run", epochs=3).cutoff
        (5.0,)
    """

    data: str
    out: str
    test: str | None = None
    valid_size: int = 50
    size: Literal["small", "base", "large"] = "base"
    cutoff: float | Sequence[float] = (5.0,)
    epochs: int | None = None
    minutes: float | None = None
    seed: int = 0
    resume: bool = False
    batch_size: int = 8
    learning_rate: float = 3e-3
    warmup: float = 0.02
    force_weight: float = 1.0
    energy_weight: float = 0.1
    final_energy_weight: float = 10.0
    stress_weight: float = 0.1
    ema_decay: float = 0.99
    clip: float = 0.5
    dtype: Literal["float32", "float64"] = "float32"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = None
    compile: Literal["auto", "on", "off"] = "auto"
    rotate: bool | None = None
    zbl: bool = False
    isolated: dict[int, float] | None = None
    model: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.epochs is not None and self.minutes is not None:
            raise ValueError(
                f"'epochs' and 'minutes' exclude each other, got {self.epochs} and {self.minutes}: give one."
            )
        if self.epochs is None and self.minutes is None:
            object.__setattr__(self, "minutes", DEFAULT_MINUTES)
        object.__setattr__(self, "cutoff", self.cutoffs)
        for name in ("epochs", "minutes", "valid_size", "batch_size", "learning_rate", "clip", "threads", *_ENERGY):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"'{name}' must be positive, got {value}.")
        if self.compile == "on" and (self.threads not in (None, 1) or self.device == "cuda"):
            raise ValueError(
                f"'compile' needs one CPU thread, got 'threads' {self.threads} and 'device' {self.device!r}: leave "
                "them out."
            )
        for name in ("force_weight", "stress_weight"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"'{name}' must not be negative, got {getattr(self, name)}.")
        for name in ("ema_decay", "warmup"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"'{name}' must be in [0, 1), got {getattr(self, name)}.")
        if not self.cutoffs or min(self.cutoffs) <= 0:
            raise ValueError(f"'cutoff' must be positive (in A), got {list(self.cutoffs)}.")
        if not 0 <= self.seed < 2**31:
            raise ValueError(f"'seed' must be at least 0 and below 2^31, got {self.seed}.")

    def compile_mode(self, structures: int) -> Literal["auto", "on", "off"]:
        """How to compile a training on a number of structures: ``auto`` only where it pays and one thread is meant.

        Args:
            structures: Number of training structures.

        Returns:
            what :meth:`~pyg_mpnn.Potential.compile` is told.
        """
        if self.compile != "auto":
            return self.compile
        steps = (self.epochs or 0) * -(-structures // self.batch_size)
        long_enough = steps >= 3000 if self.minutes is None else self.minutes >= 3
        return "auto" if long_enough and self.threads in (None, 1) and self.device != "cuda" else "off"

    @property
    def cutoffs(self) -> tuple[float, ...]:
        """All cutoffs in A."""
        return (float(self.cutoff),) if isinstance(self.cutoff, (int, float)) else tuple(map(float, self.cutoff))
