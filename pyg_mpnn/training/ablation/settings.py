"""What a comparison of building blocks is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pyg_mpnn.data import LabelNames
from pyg_mpnn.data.labels import EnergyUnit, LengthUnit, parse_types
from pyg_mpnn.training.ablation.variants import Variant, make_variants
from pyg_mpnn.training.settings import TrainingSettings


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
        learning_rate: Highest learning rate, the same for all.
        compile: Compile every cell, with ``on``: minutes for each variant, not counted, kept for the other seeds; or
            train and time all of them eagerly, with ``off``, which is fair among the variants, while absolute times and
            the cost of narrow networks are those of eager code.
        budget_minutes: Start no cell that would end after so many minutes; the same command goes on later.
        threads: Number of CPU threads; PyTorch decides without it.
        device: Where to compute; ``auto`` takes the GPU if there is one.

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
    learning_rate: float = 3e-3
    compile: Literal["on", "off"] = "off"
    budget_minutes: float | None = None
    threads: int | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
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
            learning_rate=self.learning_rate,
            device=self.device,
            threads=self.threads,
            compile=self.compile,
            model=variant.model,
        )
