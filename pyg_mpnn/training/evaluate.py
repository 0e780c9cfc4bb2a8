"""Predictions and errors of a trained potential on a set of structures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader

from pyg_mpnn.data import StructureDataset, ethanol, read_structures
from pyg_mpnn.data.frames import check_frame
from pyg_mpnn.models import EnergyModel, PotentialOutput, SumPotential, load_potential
from pyg_mpnn.training.metrics import Errors, Predictions, compare, compute_errors, join


def load_frames(source: str | Path, split: str = "train") -> list[Data]:
    """Read structures with energies and forces.

    Args:
        source: A file that :func:`~pyg_mpnn.data.read_structures` reads, or the word ``ethanol``.
        split: Which half of the shipped ethanol the word means, ``train`` or ``test``.

    Returns:
        One structure a frame.

    Units:
        A, eV, eV/A, eV/A^3.
    """
    return ethanol("test" if split == "test" else "train") if source == "ethanol" else read_structures(source)


def evaluate_batch(potential: EnergyModel | SumPotential, batch: Batch, *, stress: bool = True) -> PotentialOutput:
    """Energies, forces and, where the batch has a crystal with a place for a reference, stresses.

    Args:
        potential: The potential.
        batch: Structures.
        stress: Whether stresses are wanted at all.

    Returns:
        What the potential returns; its stress is None where there is none to compare.

    Units:
        eV, eV/A, eV/A^3.
    """
    stress = stress and "stress" in batch and bool(batch.pbc.all(dim=1).any())
    output: PotentialOutput = potential(batch, stress=stress)
    return output


def predict(potential: EnergyModel | SumPotential, frames: Sequence[Data], *, batch_size: int = 32) -> Predictions:
    """Predict energies, forces and, where a reference is known, stresses.

    Args:
        potential: The potential; it is used on the device and in the precision that it has.
        frames: Structures with energies and forces.
        batch_size: Structures per batch; it changes the speed and the memory, not the result.

    Returns:
        Predicted and reference values, in the order of ``frames``.

    Units:
        eV, eV/A, eV/A^3.

    Raises:
        ValueError: There is no structure, or one without energy or forces.
    """
    if not len(frames):
        raise ValueError("'frames' must hold at least one structure, got none.")
    dataset = StructureDataset(frames, potential.cutoff, dtype=potential.dtype)
    for index, frame in enumerate(dataset.frames):
        check_frame(frame, f"frame {index}", ("energy", "forces"))
    was_training = potential.training
    potential.eval()
    device = potential.device
    parts = []
    with torch.no_grad():
        for batch in DataLoader(dataset, batch_size=batch_size):
            batch = batch.to(device)
            parts.append(compare(evaluate_batch(potential, batch), batch))
    potential.train(was_training)
    return join(parts)


def evaluate(
    model: str | Path | EnergyModel | SumPotential,
    data: str | Path | Sequence[Data],
    *,
    batch_size: int = 32,
    device: str | None = None,
) -> Errors:
    """Errors of a trained potential.

    Args:
        model: A checkpoint or saved potential (or sum of potentials), or a potential.
        data: Structures with energies and forces, a file of them, or the word ``ethanol`` for the shipped test set.
        batch_size: Structures per batch.
        device: Where to compute; without it a potential stays where it is, and a file is read to the CPU.

    Returns:
        The errors.

    Units:
        meV, meV/A, meV/A^3 and GPa, as the names of the fields say.

    Raises:
        ValueError: There is no structure, or one without energy or forces.
    """
    potential = load_potential(model) if isinstance(model, str | Path) else model
    frames = load_frames(data, "test") if isinstance(data, (str, Path)) else data
    if device is not None:
        potential = potential.to(device)
    return compute_errors(predict(potential, frames, batch_size=batch_size))
