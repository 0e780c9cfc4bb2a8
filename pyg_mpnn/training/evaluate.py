"""Predictions and errors of a trained potential on a set of structures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch.utils.data import BatchSampler
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader

from pyg_mpnn.arguments import check_whole
from pyg_mpnn.data import LabelNames
from pyg_mpnn.data.dataset import PreparedStructures, as_prepared
from pyg_mpnn.data.frames import LabelShape
from pyg_mpnn.data.labels import LABELS
from pyg_mpnn.data.read import load_frames
from pyg_mpnn.models import EnergyModel, PotentialOutput, Spread, load_potential
from pyg_mpnn.models.checks import choose_device
from pyg_mpnn.readout import has_stress
from pyg_mpnn.training.metrics import Errors, Predictions, compare, compute_errors, join
from pyg_mpnn.training.sampler import BudgetBatchSampler, EpochSampler, fill_batches


def evaluate_batch(potential: EnergyModel, batch: Batch, *, stress: bool = True) -> PotentialOutput:
    """All that the model gives and the batch has references of; stresses where a structure of it is a crystal or slab.

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
    stress = stress and potential.has_energy and "stress" in batch and bool(has_stress(batch.cell, batch.pbc).any())
    output: PotentialOutput = potential(batch, forces=forces, stress=stress)
    return output


def batching(
    dataset: PreparedStructures,
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
    check_whole(batch_size=batch_size)
    found = _budget(dataset, batch_atoms, batch_edges)
    if found is None:
        return [list(places[k : k + batch_size]) for k in range(0, len(places), batch_size)]
    sizes, budget, name = found
    return [[places[k] for k in batch] for batch in fill_batches([sizes[k] for k in places], budget, name)]


def shuffled_batching(
    dataset: PreparedStructures,
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
    dataset: PreparedStructures, batch_atoms: int | None, batch_edges: int | None
) -> tuple[Sequence[int], int, str] | None:
    for name, most in (("batch_atoms", batch_atoms), ("batch_edges", batch_edges)):
        if most is not None:
            check_whole(**{name: most})
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
    found = {name: LabelShape("structure", (), input=True, required=True) for name in potential.graph_inputs}
    outputs = {name: output for name, output in potential.all_outputs().items() if not isinstance(output, Spread)}
    if outputs:
        found.setdefault("charge", LabelShape("structure", (), input=True))
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
    frames: Sequence[Data] | PreparedStructures,
    *,
    batch_size: int = 32,
    batch_atoms: int | None = None,
    batch_edges: int | None = None,
) -> Predictions:
    """Predict all that the model gives and the structures have references of.

    Args:
        potential: The potential; it is used on the device and in the precision that it has.
        frames: Structures, prepared for the model or not; what one has no reference of is not compared.
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
    dataset = as_prepared(frames, potential.cutoff, potential.dtype, shapes)
    check_references(dataset, potential, shapes)
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


def check_references(dataset: PreparedStructures, potential: EnergyModel, shapes: Mapping[str, LabelShape]) -> None:
    """Refuse structures that a model cannot be tested on.

    Args:
        dataset: Structures.
        potential: The model.
        shapes: What :func:`label_shapes` gives.

    Raises:
        ValueError: No structure has a reference of what the model gives.
    """
    names = [*(LABELS if potential.has_energy else ()), *(name for name, shape in shapes.items() if not shape.input)]
    if not any(name in frame for frame in dataset.structures for name in names):
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
        data: Structures with energies, forces or stresses, a file of them or several, or the word ``ethanol`` for the
            shipped test set.
        batch_size: Structures per batch.
        batch_atoms: Atoms per batch at most, in place of ``batch_size``.
        batch_edges: Edges per batch at most, in place of ``batch_size``.
        device: Where to compute: ``auto``, ``cpu``, ``cuda`` or ``cuda:0``; without it a potential stays where it is,
            and a file is read to the CPU.
        labels: What the files do not say.

    Returns:
        The errors.

    Units:
        meV, meV/A, meV/A^3 and GPa, as the names of the fields say.

    Raises:
        ValueError: There is no structure, or one without any label.
    """
    potential = load_potential(model) if isinstance(model, str | Path) else model
    frames = structures_to_test(potential, data, labels)
    if device is not None:
        potential = potential.to(choose_device(device))
    sizes = {"batch_size": batch_size, "batch_atoms": batch_atoms, "batch_edges": batch_edges}
    return compute_errors(predict(potential, frames, **sizes), units(potential))  # type: ignore[arg-type]


def structures_to_test(
    potential: EnergyModel, data: str | Path | Sequence[str | Path] | Sequence[Data], labels: LabelNames | None = None
) -> Sequence[Data]:
    """The structures that a potential is tested on, with the labels that it predicts.

    Args:
        potential: The potential.
        data: As of :func:`evaluate`.
        labels: What the files do not say.

    Returns:
        Those of the files; structures in memory as they are.
    """
    if not isinstance(data, (str, Path)) and not (len(data) > 0 and isinstance(data[0], (str, Path))):
        return data
    wanted, others = LABELS if potential.has_energy else (), label_shapes(potential)
    return load_frames(data, "test", labels, wanted=wanted, others=others)
