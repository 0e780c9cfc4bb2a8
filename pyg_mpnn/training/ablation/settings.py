"""What a comparison trains: the blocks, their variants, and the settings of all."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pyg_mpnn.data import LabelNames
from pyg_mpnn.data.labels import EnergyUnit, LengthUnit, parse_types
from pyg_mpnn.models.mpnn import MPNN
from pyg_mpnn.models.sizes import SIZES
from pyg_mpnn.training.settings import TrainingSettings

REFERENCE = "reference"
BLOCKS = (
    "attention",
    "scales",
    "directions",
    "l_max",
    "invariants",
    "num_layers",
    "edge_dim",
    "hidden_channels",
    "channels",
)
"""What is varied, in the order of the tables."""
_WIDTHS = ("edge_dim", "hidden_channels", "channels")
_SCALES = {1: (1.0,), 2: (0.6, 1.0), 3: (0.4, 0.7, 1.0)}  # parts of the largest cutoff: 3 + 5 and 2 + 3.5 + 5 A


@dataclass(frozen=True)
class Variant:
    """One potential of the comparison.

    Args:
        name: What it is called, unique.
        block: Which block differs from the reference; ``reference`` for that itself.
        cutoffs: Cutoff radii.
        model: Arguments of the potential beside size and cutoff.

    Units:
        ``cutoffs`` in A.
    """

    name: str
    block: str
    cutoffs: tuple[float, ...]
    model: dict[str, Any] = field(default_factory=dict)

    @property
    def slug(self) -> str:
        """The name as part of a file name."""
        letters = "".join(letter if letter.isalnum() or letter in "._" else "-" for letter in self.name)
        return "-".join(part for part in letters.split("-") if part)


def make_variants(
    size: str, cutoff: float, only: Sequence[str] | None = None, model: Mapping[str, Any] | None = None
) -> list[Variant]:
    """The reference, then the variants of each block.

    Attention none, sigmoid, softmax; one, two and three scales; directions contracted, raw (with random rotations in
    training) and radial; l_max 1, 2, 3; invariants of the receiver or of both ends; a layer less and more; each width
    halved and doubled.

    Args:
        size: Size of the reference.
        cutoff: Its cutoff, the largest one of all variants, in A.
        only: Blocks to vary; all of them without it.
        model: Arguments of the potential in which the reference differs from its size, and all variants with it.

    Returns:
        The reference first.

    Raises:
        ValueError: A block is unknown, or the size is.

    Example:
        >>> [variant.name for variant in make_variants("small", 5.0, ["l_max"])]
        ['reference', 'l_max 1', 'l_max 3']
    """
    if size not in SIZES:
        raise ValueError(f"'size' must be one of {tuple(SIZES)}, got {size!r}.")
    unknown = [block for block in only or () if block not in BLOCKS]
    if unknown:
        raise ValueError(f"'only' must hold blocks of {', '.join(BLOCKS)}, got {', '.join(map(repr, unknown))}.")
    defaults = {name: parameter.default for name, parameter in inspect.signature(MPNN).parameters.items()}
    own = dict(model or {})
    reference = defaults | SIZES[size] | own
    found = [Variant(REFERENCE, REFERENCE, (float(cutoff),), own)]
    for block in BLOCKS:
        if not only or block in only:
            found += [
                replace(variant, model=own | variant.model) for variant in _of_block(block, float(cutoff), reference)
            ]
    return found


def _of_block(block: str, cutoff: float, reference: dict[str, Any]) -> list[Variant]:
    if block == "scales":
        radii = [tuple(round(part * cutoff, 6) for part in parts) for count, parts in _SCALES.items() if count > 1]
        return [Variant(f"scales {' + '.join(f'{r:g}' for r in own)} A", block, own) for own in radii]
    variants = []
    for value in _values(block, reference):
        if value != reference[block]:
            model = {block: value}
            if value == "raw":
                model["symmetry"] = "unconstrained"
            label = " + ".join(value) if isinstance(value, tuple) else "none" if value is None else value
            note = " with random rotations" if value == "raw" else ""
            variants.append(Variant(f"{block} {label}{note}", block, (cutoff,), model))
    return variants


def _values(block: str, reference: dict[str, Any]) -> tuple[Any, ...]:
    if block in _WIDTHS:
        return reference[block] // 2, 2 * reference[block]
    if block == "num_layers":
        return tuple(count for count in (reference[block] - 1, reference[block] + 1) if count > 0)
    return {
        "attention": (None, "sigmoid", "softmax"),
        "directions": ("contracted", "raw", "radial"),
        "l_max": (1, 2, 3),
        "invariants": (("receiver",), ("receiver", "sender")),
    }[block]


@dataclass(frozen=True)
class AblationSettings:
    """Everything that determines a comparison of building blocks.

    Every variant is trained for the same minutes, so a slower one does fewer steps: the errors tell what pays for its
    time in training, the measured times what it costs in use.

    Args:
        data: File or files with the structures to learn from: an rMD17/MD17 npz, or anything that ASE reads with
            energies and forces. The word ``ethanol`` means the shipped sample.
        out: Folder for the results. One that holds cells of the same comparison is continued.
        test: File or files with structures to test on. Without it the errors are those on the validation structures,
            which keeps your test structures unseen while you choose.
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
        size: Size of the reference; every variant differs from it in one block.
        model: Any other argument of the potential for the reference and all variants, for instance
            ``--model.num_layers 3``.
        cutoff: Largest distance in A up to which two atoms are neighbours.
        minutes: Time to train each cell for, validation included, compiling and the final test not.
        seeds: Number of seeds: 0, 1, ... Weights, split and order of the structures follow from the seed, the same
            split for all variants.
        only: Blocks to vary: attention, scales, directions, l_max, invariants, num_layers, edge_dim, hidden_channels,
            channels. All of them without it.
        valid_size: Number of structures of ``data`` set aside for validation. Without it 50, or a tenth of them where
            they are fewer than 500.
        batch_size: Structures per step.
        optimizer: As of training, the same for all.
        learning_rate: Highest learning rate, the same for all; that of training without it.
        compile: Compile every cell, with ``on``: minutes for each variant, not counted, kept for the other seeds; or
            train and time all of them eagerly, with ``off``, which is fair among the variants, while absolute times and
            the cost of narrow networks are those of eager code.
        budget_minutes: Start no cell that would end after so many minutes; the same command goes on later.
        threads: Number of CPU threads; PyTorch decides without it.
        device: Where to compute: auto (a GPU if there is one), cpu, cuda, or cuda:0 for one of several GPUs.

    Units:
        Lengths in A, energies in eV, time in minutes.

    Raises:
        ValueError: An argument is out of range.

    Example:
        >>> AblationSettings(data="ethanol", out="blocks", only=["l_max"]).minutes
        3.0
    """

    data: Sequence[str] | str
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
    size: Literal["small", "base", "large"] = "base"
    cutoff: float = 5.0
    minutes: float = 3.0
    seeds: int = 3
    only: Sequence[str] | None = None
    valid_size: int | None = None
    batch_size: int = 8
    optimizer: str = "muon"
    learning_rate: float | None = None
    compile: Literal["on", "off"] = "off"
    budget_minutes: float | None = None
    threads: int | None = None
    device: str = "auto"
    model: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise ValueError(f"'seeds' must be at least 1, got {self.seeds}.")
        if self.budget_minutes is not None and not self.budget_minutes > 0:
            raise ValueError(f"'budget_minutes' must be positive, got {self.budget_minutes}.")
        for variant in self.variants:
            self.training(variant, 0, self.out)

    @property
    def variants(self) -> list[Variant]:
        """The reference and what is compared with it."""
        return make_variants(self.size, self.cutoff, self.only, self.model)

    @property
    def labels(self) -> LabelNames:
        """What the labels are called in files that ASE reads."""
        names = self.energy_key, self.forces_key, self.stress_key, self.virial_key
        return LabelNames(*names, self.energy_unit, self.length_unit, parse_types(self.types))

    def training(self, variant: Variant, seed: int, out: str) -> TrainingSettings:
        """The settings of one cell.

        Args:
            variant: The potential to train.
            seed: Seed of weights, split and order.
            out: Folder for the training.

        Returns:
            what :func:`~pyg_mpnn.training.train` is told.
        """
        return TrainingSettings(
            data=self.data,
            out=out,
            test=self.test,
            energy_key=self.energy_key,
            forces_key=self.forces_key,
            stress_key=self.stress_key,
            virial_key=self.virial_key,
            force_data=self.force_data,
            valid_size=self.valid_size,
            size=self.size,
            cutoff=variant.cutoffs,
            minutes=self.minutes,
            seed=seed,
            batch_size=self.batch_size,
            optimizer=self.optimizer,
            learning_rate=self.learning_rate,
            device=self.device,
            threads=self.threads,
            compile=self.compile,
            model=variant.model,
        )
