"""Predictions and errors of a trained potential on a set of structures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import torch
from torch.utils.data import BatchSampler
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader

from pyg_mpnn.data import LabelNames, StructureDataset, ethanol, read_structures
from pyg_mpnn.data.frames import LabelShape, align_frames, check_frame
from pyg_mpnn.data.md17 import how_to_get
from pyg_mpnn.models import EnergyModel, PotentialOutput, load_potential
from pyg_mpnn.training.batch_sampler import BudgetBatchSampler, fill_batches
from pyg_mpnn.training.metrics import Errors, Predictions, compare, compute_errors, join
from pyg_mpnn.training.sampler import EpochSampler


@runtime_checkable
class SizedStructures(Protocol):
    """Structures whose sizes are known."""

    @property
    def num_atoms(self) -> Sequence[int]:
        """Number of atoms of each."""

    @property
    def num_edges(self) -> Sequence[int]:
        """Number of edges of each."""

    def __len__(self) -> int:
        """Number of structures."""


def load_frames(
    source: str | Path | Sequence[str | Path], split: str = "train", labels: LabelNames | None = None
) -> list[Data]:
    """Read structures with energies and forces.

    Args:
        source: A file that :func:`~pyg_mpnn.data.read_structures` reads, the word ``ethanol``, or several of these,
            which are joined in this order.
        split: Which half of the shipped ethanol the word means, ``train`` or ``test``.
        labels: What the labels are called in files that ASE reads.

    Returns:
        One structure a frame.

    Units:
        A, eV, eV/A, eV/A^3.

    Raises:
        FileNotFoundError: A file is absent.
        ValueError: A structure is unusable.
    """
    sources = [source] if isinstance(source, (str, Path)) else list(source)
    for item in sources:
        if item != "ethanol" and not Path(item).is_file():
            which = "a folder: QM9 needs a 'target'." if Path(item).is_dir() else "neither: check the name."
            raise FileNotFoundError(
                f"'data' and 'test' must be files or the word ethanol (the shipped sample), got {str(item)!r}, which "
                f"is {which}{how_to_get(Path(item))}"
            )
    if "ethanol" not in sources:
        return read_structures(sources, labels=labels)
    sample: Literal["train", "test"] = "test" if split == "test" else "train"
    frames = [
        frame
        for item in sources
        for frame in (ethanol(sample) if item == "ethanol" else read_structures(item, labels=labels))
    ]
    align_frames(frames)
    return frames


def evaluate_batch(potential: EnergyModel, batch: Batch, *, stress: bool = True) -> PotentialOutput:
    """All that the model gives and the batch has references of; stresses where a structure of it is a crystal.

    Args:
        potential: The model.
        batch: Structures.
        stress: Whether stresses are wanted at all.

    Returns:
        What the model returns; forces and stress are None where there is none to compare.

    Units:
        eV, eV/A, eV/A^3.
    """
    forces = potential.has_energy and "forces" in batch
    stress = stress and potential.has_energy and "stress" in batch and bool(batch.pbc.all(dim=1).any())
    output: PotentialOutput = potential(batch, forces=forces, stress=stress)
    return output


def batching(
    dataset: SizedStructures,
    batch_size: int,
    batch_atoms: int | None = None,
    batch_edges: int | None = None,
    places: Sequence[int] | None = None,
) -> list[list[int]]:
    """Batches for an evaluation, in order.

    Args:
        dataset: Structures with their edges.
        batch_size: Structures per batch, where no other limit is given.
        batch_atoms: Atoms per batch at most.
        batch_edges: Edges per batch at most.
        places: Which structures; all by default.

    Returns:
        Places of the structures of each batch, a ``batch_sampler`` of a loader.

    Raises:
        ValueError: Both limits are given, or a structure is larger than the limit.
    """
    places = range(len(dataset)) if places is None else places
    found = _budget(dataset, batch_atoms, batch_edges)
    if found is None:
        return [list(places[k : k + batch_size]) for k in range(0, len(places), batch_size)]
    sizes, budget, name = found
    return [[places[k] for k in batch] for batch in fill_batches([sizes[k] for k in places], budget, name)]


def shuffled_batching(
    dataset: SizedStructures,
    batch_size: int,
    batch_atoms: int | None = None,
    batch_edges: int | None = None,
    *,
    seed: int,
) -> BatchSampler | BudgetBatchSampler:
    """Batches for a training, in a random order that changes with the epoch.

    Args:
        dataset: Structures with their edges.
        batch_size: Structures per batch, where no other limit is given.
        batch_atoms: Atoms per batch at most.
        batch_edges: Edges per batch at most.
        seed: Seed of the order.

    Returns:
        A ``batch_sampler`` of a loader.

    Raises:
        ValueError: Both limits are given, or a structure is larger than the limit.
    """
    found = _budget(dataset, batch_atoms, batch_edges)
    if found is None:
        return BatchSampler(EpochSampler(len(dataset), seed), batch_size, drop_last=False)
    sizes, budget, name = found
    return BudgetBatchSampler(sizes, budget, seed, name)


def _budget(
    dataset: SizedStructures, batch_atoms: int | None, batch_edges: int | None
) -> tuple[Sequence[int], int, str] | None:
    if batch_atoms is not None and batch_edges is not None:
        raise ValueError(
            f"'batch_atoms' and 'batch_edges' exclude each other, got {batch_atoms} and {batch_edges}: give one."
        )
    if batch_atoms is not None:
        return dataset.num_atoms, batch_atoms, "batch_atoms"
    return None if batch_edges is None else (dataset.num_edges, batch_edges, "batch_edges")


def label_shapes(potential: EnergyModel) -> dict[str, LabelShape]:
    """Fields of a structure that a model reads or is trained on, besides energy, forces and stress.

    Args:
        potential: The model.

    Returns:
        Level and shape by name: of its outputs and graph inputs.
    """
    found = {name: LabelShape("structure", (), input=True) for name in potential.graph_inputs}
    outputs = potential.all_outputs()
    if outputs:
        found["charge"] = LabelShape("structure", (), input=True)
    return found | {name: LabelShape(output.level, output.shape) for name, output in outputs.items()}


def units(potential: EnergyModel) -> dict[str, str]:
    """Units of the outputs of a model besides energy, forces and stress.

    Args:
        potential: The model.

    Returns:
        Units by name.
    """
    return {name: output.unit for name, output in potential.all_outputs().items()}


def predict(
    potential: EnergyModel,
    frames: Sequence[Data],
    *,
    batch_size: int = 32,
    batch_atoms: int | None = None,
    batch_edges: int | None = None,
) -> Predictions:
    """Predict all that the model gives and the structures have references of.

    Args:
        potential: The potential; it is used on the device and in the precision that it has.
        frames: Structures with references: energies and forces, or those of the other outputs of the model.
        batch_size: Structures per batch; it changes the speed and the memory, not the result.
        batch_atoms: Atoms per batch at most, in place of ``batch_size``.
        batch_edges: Edges per batch at most, in place of ``batch_size``.

    Returns:
        Predicted and reference values, in the order of ``frames``.

    Units:
        eV, eV/A, eV/A^3, and those of the other outputs.

    Raises:
        ValueError: There is no structure, or none has a reference.
    """
    if not len(frames):
        raise ValueError("'frames' must hold at least one structure, got none.")
    shapes = label_shapes(potential)
    dataset = StructureDataset(frames, potential.cutoff, dtype=potential.dtype, labels=shapes)
    check_references(dataset.frames, potential, shapes)
    was_training = potential.training
    potential.eval()
    device = potential.device
    parts = []
    with torch.no_grad():
        for batch in DataLoader(dataset, batch_sampler=batching(dataset, batch_size, batch_atoms, batch_edges)):
            batch = batch.to(device)
            parts.append(compare(evaluate_batch(potential, batch), batch))
    potential.train(was_training)
    return join(parts)


def check_references(frames: Sequence[Data], potential: EnergyModel, shapes: Mapping[str, LabelShape]) -> None:
    """Refuse structures that a model cannot be tested on.

    Args:
        frames: Structures.
        potential: The model.
        shapes: What :func:`label_shapes` gives.

    Raises:
        ValueError: A model without other outputs gets a structure without energy or forces, or one with others gets no
            reference at all.
    """
    others = [name for name, shape in shapes.items() if not shape.input]
    if not others:
        for index, frame in enumerate(frames):
            check_frame(frame, f"frame {index}", ("energy", "forces"))
    names = [*(["energy", "forces", "stress"] if potential.has_energy else []), *others]
    if not any(name in frame for frame in frames for name in names):
        raise ValueError(f"'frames' must hold a reference of {' or '.join(names)}, got none: add a field of that name.")


def evaluate(
    model: str | Path | EnergyModel,
    data: str | Path | Sequence[str | Path] | Sequence[Data],
    *,
    batch_size: int = 32,
    batch_atoms: int | None = None,
    batch_edges: int | None = None,
    device: str | None = None,
    labels: LabelNames | None = None,
) -> Errors:
    """Errors of a trained potential.

    Args:
        model: A checkpoint or saved potential (or sum of potentials), or a potential.
        data: Structures with energies and forces, a file of them or several, or the word ``ethanol`` for the shipped
            test set.
        batch_size: Structures per batch.
        batch_atoms: Atoms per batch at most, in place of ``batch_size``.
        batch_edges: Edges per batch at most, in place of ``batch_size``.
        device: Where to compute; without it a potential stays where it is, and a file is read to the CPU.
        labels: What the labels are called, where ``data`` names files that ASE reads.

    Returns:
        The errors.

    Units:
        meV, meV/A, meV/A^3 and GPa, as the names of the fields say.

    Raises:
        ValueError: There is no structure, or one without energy or forces.
    """
    potential = load_potential(model) if isinstance(model, str | Path) else model
    names = isinstance(data, (str, Path)) or (len(data) > 0 and isinstance(data[0], (str, Path)))
    frames = load_frames(data, "test", labels) if names else data
    if device is not None:
        potential = potential.to(device)
    sizes = {"batch_size": batch_size, "batch_atoms": batch_atoms, "batch_edges": batch_edges}
    return compute_errors(predict(potential, frames, **sizes), units(potential))  # type: ignore[arg-type]
