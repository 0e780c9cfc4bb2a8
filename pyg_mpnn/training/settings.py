"""What a training is told: one flat, frozen record that the command line, the checkpoint and the model card share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from pyg_mpnn.arguments import check_whole
from pyg_mpnn.data import LabelNames
from pyg_mpnn.data.labels import EnergyUnit, LengthUnit, parse_types
from pyg_mpnn.training.loss import Penalty
from pyg_mpnn.training.optimizer import LEARNING_RATES

DEFAULT_MINUTES = 10.0
_OF_START: tuple[Any, ...] = ("base", None, None, True, {}, {}, False)  # the defaults: not given
_OF_POTENTIALS = (  # what a training of a property has no use for
    *("energy_key", "forces_key", "stress_key", "virial_key", "energy_unit", "length_unit", "types", "force_data"),
    *("test", "start_from", "replay", "zbl", "isolated", "loss", "huber_delta", "devices", "num_nodes"),
    *("force_weight", "energy_weight", "stress_weight"),
    *("final_force_weight", "final_energy_weight", "final_stress_weight"),
)
_POSITIVE = (
    *("epochs", "minutes", "patience", "valid_size", "batch_size", "batch_atoms", "batch_edges", "accumulate"),
    *("learning_rate", "clip"),
    *("huber_delta", "energy_weight", "final_force_weight", "final_energy_weight", "final_stress_weight"),
    *("devices", "num_nodes", "threads"),
)


@dataclass(frozen=True)
class TrainingSettings:
    """Everything that determines a training, with defaults that suit small molecules.

    With neither ``epochs`` nor ``minutes`` the training takes 10 minutes.

    Args:
        data: File with the structures to learn from: an rMD17/MD17 npz, or anything that ASE reads with energies and
            forces (extended XYZ, .db, .traj); several files are joined. The word ``ethanol`` means the shipped sample
            (rMD17, 1000 structures).
        out: Folder for the results, made if absent: best.ckpt, last.ckpt, metrics.csv, model_card.md and .json,
            report.html, parity.png, learning_curve.png, structures.chemiscope.json.gz.
        test: File or files with the structures for the final test; ``ethanol`` means the shipped test structures.
            Without it the final table shows the validation errors.
        energy_key: Name of the energy in files that ASE reads, where it is not ``energy`` or ``REF_energy``. Where one
            label is named, only labels that are named are read.
        forces_key: Name of the forces there.
        stress_key: Name of the stress there.
        virial_key: Name of the virial there, in place of a stress.
        energy_unit: Unit of the energies in the files, and of forces and stresses with ``length_unit``; eV without it,
            or what the file says.
        length_unit: Unit of positions and cells in the files; angstrom without it.
        types: Elements of the numbered types of a LAMMPS file, for instance 1=Cu,2=Ag.
        force_data: Train although structures stand apart by their energy or forces, or are there twice.
        target: Name of a property of QM9 (mu, alpha, homo, lumo, gap, r2, zpve, U0, U, H, G, Cv) to learn in place of
            energies and forces; ``data`` is then the folder of QM9, which has its own split.
        stream: Read ``data``, one file that ASE reads, from the disk structure by structure in place of holding it in
            memory; neighbour lists are found once and kept in a folder beside the file.
        workers: Processes that load the batches of a streamed training; 0 for none beside the training itself.
        valid_size: Number of structures of ``data`` set aside for validation, drawn at random with ``seed``. Without
            it 50, or a tenth of them where they are fewer than 500.
        size: Size of the potential.
        cutoff: Distance in A up to which two atoms are neighbours; two or three of them make a multi-scale model. 5
            without it, or what a model of your own has.
        epochs: Passes over the training structures. Give this or ``minutes``.
        minutes: Time to train for, validation included, the final test not. Without ``epochs`` and ``minutes``: 10.
        seed: Seed of the weights, of the split and of the order of the structures.
        split_seed: Seed of the validation structures, where it is not ``seed``.
        committee: Number of potentials to train, one after the other, with seeds from ``seed`` on and the same
            validation structures, each for ``epochs`` or ``minutes`` and into a folder of its own in ``out``; then
            ``out``/committee.pt gives their mean and, calibrated on the validation structures, their spread as error
            bars of energies, forces and stress.
        resume: Continue from ``out``/last.ckpt; the other settings must be those of the interrupted training, only
            ``epochs`` or ``minutes`` may grow.
        start_from: Checkpoint or saved potential to start from in place of random weights (fine-tuning), or the name of
            one that comes with the package (``organic``). Size, cutoff and all else of the model are
            those of the file; the reference energies are corrected by least squares to what it leaves on the new
            training structures; an element that it does not know is an error. With ``committee`` also the folder of
            one, of which each member starts from its own.
        replay: File or files of structures that ``start_from`` was trained on, so that it does not forget them: some
            are trained on beside the new ones, others show at the end what was forgotten (``out``/replay.json).
        replay_share: Part of the structures of an epoch that are old ones.
        replay_labels: What the old structures are trained to: ``same``, the labels of the file, at the level of theory
            of the new structures: the reference energies stay those of the start; ``own``, labels at another level,
            whose energies are brought to the new reference energies; or ``start``, what ``start_from`` predicts (at
            another level of theory than that of the new structures this is not the truth either).
        freeze: Parts of the model that are not trained, for instance ``representation.layers.0``.
        patience: Stop after this many epochs without a better validation score (force MAE in meV/A plus energy MAE in
            meV/atom); never without it. The learning rate still falls as if all ``epochs`` or ``minutes`` were used.
        batch_size: Structures per step, those of all processes together.
        batch_atoms: Atoms per step at most, in place of a number of structures, where their sizes vary; at least the
            atoms of the largest structure. Validation and test use it too.
        batch_edges: Edges per step at most (pairs of atoms within the cutoff, both directions), as above.
        accumulate: Number of parts in which the structures of a step are computed, one after the other: less memory for
            the same step.
        optimizer: ``muon`` (momentum with orthogonal matrices, Adam for the rest), ``adamw``, or a class of another
            package that takes parameters, ``lr`` and ``weight_decay``, as package.module:Class.
        learning_rate: Highest learning rate, reached after the warm-up; it then falls to zero along a cosine. Without
            it 0.01 for muon and 0.003 for the others.
        warmup: Fraction of the training over which the learning rate rises from zero.
        loss: Penalty of an error: its square, its absolute value (l1), or the square of a small one and a straight line
            for a large one (huber), which follows outliers less.
        huber_delta: Error from which the Huber loss is a straight line, in units of the force scale of the data.
        force_weight: Weight of the forces in the loss.
        energy_weight: Weight of the energy per atom in the loss.
        stress_weight: Weight of the virial per atom in the loss, for structures with a known stress.
        final_force_weight: Weight at the end: each weight moves gradually to its final one, if it has one, in the last
            quarter of the training.
        final_energy_weight: The same for the energy.
        final_stress_weight: The same for the stress.
        output_weights: Weights in the loss of the other outputs of the model by name, 1 where not given; their errors
            are in units of the spread of their references.
        weight_decay: Fraction, times the learning rate, by which each step shrinks all weights (AdamW).
        ema_decay: Decay per step of the averaged weights, which are validated, tested and used, in [0, 1); it rises
            to this value over the first steps.
        clip: Longest gradient of a step; longer ones are shortened to it. After the first epochs the usual length is
            near 0.1.
        dtype: Precision of the network; energies are summed in float64 in any case.
        device: Where to compute: auto (a GPU if there is one), cpu, cuda, or cuda:0 for one of several GPUs.
        devices: Processes on each machine, one a GPU or several on the CPU; they share the structures of each step, and
            the result is that of one process up to rounding.
        num_nodes: Machines; start the same command on each by torchrun or SLURM, as Lightning wants it.
        threads: Number of CPU threads of each process; by default one where compiled, else PyTorch's own choice.
        compile: Compile energies and forces: faster steps after some minutes of compiling, which do not count as
            ``minutes`` and whose result is kept for later trainings. ``auto`` compiles trainings that are
            long enough for it (3 minutes, or 3000 steps) where it is possible: on a CPU, with a C++ compiler. ``on``
            raises where it is not possible. Compiled results are compared with eager ones first.
        rotate: Rotate each batch at random, for models that are not invariant by themselves; without it this is done
            for exactly those.
        zbl: Add the repulsion of nuclei at distances shorter than any in the training structures, where nothing is
            learned; the checkpoint holds it. Of no effect where the model has no energy, is given or started from.
        isolated: Energies of isolated atoms in eV by atomic number, for instance '{1: -13.6, 8: -2041.8}', or a file
            of isolated atoms. Without them, and without isolated atoms in the data, the reference energies are fitted
            to the training structures.
        tensorboard: Log for TensorBoard too, in ``out``/tensorboard (metrics.csv is always written).
        wandb: Log to Weights & Biases too, ``online`` or ``offline`` (into ``out``/wandb, for ``wandb sync``).
        outputs: What the model gives besides the energy, by name: a class of outputs with its arguments, for instance
            ``--outputs.dipole DipoleOutput --outputs.dipole.unit D``, or ``file.py:Class`` of your own. Its references
            are the values of this name in the structures.
        without_energy: Whether the model has these outputs alone, no energy and forces.
        model: Any other argument of the potential by name, for instance ``--model.l_max 3``. A part of your own is
            ``file.py:Class`` or ``package.module:Class`` with its arguments: ``--model.basis my_net.py:Chebyshev
            --model.basis.degree 12``. ``--model my_net.py:Net --model.width 64`` takes a network of your own.
        trust: Code of your own that the file of ``start_from`` is made of and that may run, for example my_net.py; what
            ``model`` names is trusted.

    Units:
        Lengths in A, energies in eV, time in minutes.

    Raises:
        ValueError: An argument is out of range, or both ``epochs`` and ``minutes`` are given.

    Example:
        >>> TrainingSettings(data="ethanol", out="run", cutoff=4, epochs=3).cutoff
        (4.0,)
    """

    data: Sequence[str] | str  # in this order the command line takes a JSON list for one
    out: str
    test: Sequence[str] | str | None = None
    energy_key: str | None = None
    forces_key: str | None = None
    stress_key: str | None = None
    virial_key: str | None = None
    energy_unit: EnergyUnit | None = None
    length_unit: LengthUnit | None = None
    types: str | None = None
    force_data: bool = False
    target: str | None = None
    stream: bool = False
    workers: int = 0
    valid_size: int | None = None
    size: Literal["small", "base", "large"] = "base"
    cutoff: float | Sequence[float] | None = None
    epochs: int | None = None
    minutes: float | None = None
    seed: int = 0
    split_seed: int | None = None
    committee: int = 1
    resume: bool = False
    start_from: str | None = None
    replay: Sequence[str] | str | None = None
    replay_share: float = 0.5
    replay_labels: Literal["own", "same", "start"] = "own"
    freeze: Sequence[str] = ()
    patience: int | None = None
    batch_size: int = 8
    batch_atoms: int | None = None
    batch_edges: int | None = None
    accumulate: int = 1
    optimizer: str = "muon"
    learning_rate: float | None = None
    warmup: float = 0.02
    loss: Penalty = "mse"
    huber_delta: float = 0.1
    force_weight: float = 1.0
    energy_weight: float = 0.1
    stress_weight: float = 0.1
    final_force_weight: float | None = None
    final_energy_weight: float | None = 10.0
    final_stress_weight: float | None = None
    output_weights: dict[str, float] = field(default_factory=dict)
    weight_decay: float = 0.0
    ema_decay: float = 0.99
    clip: float = 0.5
    dtype: Literal["float32", "float64"] = "float32"
    device: str = "auto"
    devices: int = 1
    num_nodes: int = 1
    threads: int | None = None
    compile: Literal["auto", "on", "off"] = "auto"
    rotate: bool | None = None
    zbl: bool = True
    isolated: dict[int, float] | str | None = None
    tensorboard: bool = False
    wandb: Literal["online", "offline"] | None = None
    outputs: dict[str, Any] = field(default_factory=dict)
    without_energy: bool = False
    model: dict[str, Any] = field(default_factory=dict)
    trust: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.epochs is not None and self.minutes is not None:
            raise ValueError(
                f"'epochs' and 'minutes' exclude each other, got {self.epochs} and {self.minutes}: give one."
            )
        if self.epochs is None and self.minutes is None:
            object.__setattr__(self, "minutes", DEFAULT_MINUTES)
        if self.cutoff is not None:
            object.__setattr__(self, "cutoff", tuple(map(float, _list(self.cutoff))))
        object.__setattr__(self, "trust", tuple(self.trust or ()))
        _ = self.labels  # which may be unusable
        object.__setattr__(self, "freeze", tuple(self.freeze or ()))
        for name in ("data", "test", "replay"):
            object.__setattr__(self, name, _one_or_several(name, getattr(self, name)))
        if self.batch_atoms is not None and self.batch_edges is not None:
            raise ValueError(
                f"'batch_atoms' and 'batch_edges' exclude each other, got {self.batch_atoms} and {self.batch_edges}: "
                "give one."
            )
        for name in _POSITIVE:
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"'{name}' must be positive, got {value}.")
        kind, _, number = self.device.partition(":")
        if kind not in ("auto", "cpu", "cuda") or (number and (kind != "cuda" or not number.isdecimal())):
            raise ValueError(f"'device' must be auto, cpu, cuda or a GPU as cuda:0, got {self.device!r}.")
        if number and self.devices > 1:
            raise ValueError(
                f"'device' must be cuda where 'devices' is {self.devices}, which takes the first GPUs, got "
                f"{self.device!r}: leave the number out, or name GPUs in the environment variable CUDA_VISIBLE_DEVICES."
            )
        if self.target is not None:
            for name in _OF_POTENTIALS:
                if getattr(self, name) != getattr(type(self), name):
                    raise ValueError(
                        f"{name!r} is for energies and forces and must be left out with 'target', got "
                        f"{getattr(self, name)!r}."
                    )
        if self.stream and not (isinstance(self.data, str) and self.target is None):
            raise ValueError(
                f"'stream' needs one file in 'data' and no 'target', got {self.data!r} and {self.target!r}."
            )
        if self.stream and (self.start_from is not None or self.processes > 1):
            raise ValueError(
                f"'stream' needs random weights to start from and one process, got 'start_from' {self.start_from!r} "
                f"and {self.processes} processes: leave one of them out."
            )
        if self.target is not None and (self.outputs or self.without_energy):
            raise ValueError("'outputs' and 'without_energy' must be left out with 'target', which is one output.")
        for name, weight in self.output_weights.items():
            if not 0 <= weight < float("inf"):
                raise ValueError(f"'output_weights' must not be negative, got {weight} for {name!r}.")
        for name in ("force_weight", "stress_weight", "weight_decay", "workers"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"'{name}' must not be negative, got {getattr(self, name)}.")
        for name in ("force_weight", "stress_weight"):
            if getattr(self, name) == 0 and getattr(self, f"final_{name}") is not None:
                raise ValueError(
                    f"'final_{name}' must be left out where '{name}' is 0, got {getattr(self, f'final_{name}')}."
                )
        by_size = self.batch_atoms is not None or self.batch_edges is not None
        for name in ("valid_size",) if by_size else ("batch_size", "valid_size"):
            if getattr(self, name) is not None and getattr(self, name) < self.processes:
                raise ValueError(
                    f"'{name}' must be at least the number of processes ('devices' times 'num_nodes', "
                    f"{self.processes}), got {getattr(self, name)}: raise it, or take fewer processes."
                )
        for name in ("ema_decay", "warmup"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"'{name}' must be in [0, 1), got {getattr(self, name)}.")
        if self.cutoff is not None and not all(radius > 0 for radius in _list(self.cutoff) or (0,)):
            raise ValueError(f"'cutoff' must be positive (in A), got {list(_list(self.cutoff))}.")
        if self.start_from is not None and _of_start(self) != _OF_START:
            raise ValueError(
                "'size', 'cutoff', 'isolated', 'zbl', 'model', 'outputs' and 'without_energy' must be left out with "
                f"'start_from', whose file has them, got {self.size!r}, {self.cutoff}, {self.isolated}, {self.zbl}, "
                f"{self.model}, {self.outputs} and {self.without_energy}."
            )
        if self.replay is not None and self.start_from is None:
            raise ValueError(
                f"'replay' is for a training that starts from a potential, got {self.replay!r} without 'start_from': "
                "give it, or train on all structures by several files in 'data'."
            )
        if not 0 < self.replay_share < 1:
            raise ValueError(f"'replay_share' must be in (0, 1), got {self.replay_share}.")
        for name in ("seed", "split_seed"):
            if not 0 <= (getattr(self, name) or 0) < 2**31:
                raise ValueError(f"{name!r} must be at least 0 and below 2^31, got {getattr(self, name)}.")
        check_whole(committee=self.committee)
        if self.committee > 1 and (self.target is not None or self.without_energy or self.processes > 1):
            raise ValueError(
                f"'committee' is for energies trained in one process, got {self.committee} members with 'target', "
                "'without_energy' or several processes: leave it or these out."
            )

    @property
    def highest_learning_rate(self) -> float:
        """The learning rate, or what goes with the optimizer where none is given."""
        if self.learning_rate is not None:
            return self.learning_rate
        return LEARNING_RATES.get(self.optimizer, LEARNING_RATES["adamw"])

    def compile_mode(self, structures: int) -> tuple[Literal["auto", "on", "off"], str | None]:
        """How to compile a training on a number of structures: ``auto`` only where it pays and is possible.

        Args:
            structures: Number of training structures.

        Returns:
            what :meth:`~pyg_mpnn.Potential.compile` is told, and why ``auto`` means ``off``, if it does.
        """
        if self.compile != "auto":
            return self.compile, None
        steps = (self.epochs or 0) * -(-structures // self.batch_size)
        long_enough = steps >= 3000 if self.minutes is None else self.minutes >= 3
        if not long_enough:
            return "off", "it is done for trainings of 3 minutes or 3000 steps and more"
        if self.device.startswith("cuda") or (self.device == "auto" and torch.cuda.is_available()):
            return "off", "nobody has measured it on a GPU, where --compile on compiles"
        return "auto", None

    def count_valid(self, structures: int) -> int:
        """Number of structures set aside for validation.

        Args:
            structures: Number of all structures.

        Returns:
            ``valid_size``, or its default for so many structures: at least one for each process.
        """
        if self.valid_size is not None:
            return self.valid_size
        return max(min(50, structures // 10), self.processes)

    @property
    def processes(self) -> int:
        """Number of processes on all machines."""
        return self.devices * self.num_nodes

    @property
    def labels(self) -> LabelNames:
        """What the labels are called in files that ASE reads."""
        names = self.energy_key, self.forces_key, self.stress_key, self.virial_key
        return LabelNames(*names, self.energy_unit, self.length_unit, parse_types(self.types))


def _list(values: float | Sequence[float]) -> Sequence[float]:
    return (values,) if isinstance(values, (int, float)) else values


def _one_or_several(name: str, files: str | Sequence[str] | None) -> str | tuple[str, ...] | None:
    """One file as a string, however it came; several as a tuple."""
    if files is None or isinstance(files, str):
        return files
    if not files:
        raise ValueError(f"'{name}' must name at least one file, got an empty list.")
    return files[0] if len(files) == 1 else tuple(files)


def _of_start(settings: TrainingSettings) -> tuple[Any, ...]:
    model = settings.size, settings.cutoff, settings.isolated, settings.zbl, settings.model
    return *model, settings.outputs, settings.without_energy
