"""Predictions and errors of a trained potential on a set of structures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader

from pyg_mpnn.data import StructureDataset, ethanol, read_structures
from pyg_mpnn.models import Potential
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


def predict(potential: Potential, frames: Sequence[Data], *, batch_size: int = 32) -> Predictions:
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
        ValueError: There is no structure.
    """
    if not len(frames):
        raise ValueError("'frames' must hold at least one structure, got none.")
    was_training = potential.training
    potential.eval()
    dataset = StructureDataset(frames, potential.cutoffs, dtype=potential.dtype)
    device = next(potential.parameters()).device
    parts = []
    with torch.no_grad():
        for batch in DataLoader(dataset, batch_size=batch_size):
            batch = batch.to(device)
            parts.append(compare(potential(batch, stress=has_stress(frames)), batch))
    potential.train(was_training)
    return join(parts)


def has_stress(frames: Sequence[Data]) -> bool:
    """Whether at least one structure has a known stress.

    Args:
        frames: Structures.

    Returns:
        True or False.
    """
    return any("stress" in frame and not bool(torch.isnan(frame.stress).all()) for frame in frames)


def evaluate(
    model: str | Path | Potential, data: str | Path | Sequence[Data], *, batch_size: int = 32, device: str | None = None
) -> Errors:
    """Errors of a trained potential.

    Args:
        model: A checkpoint or saved potential, or a potential.
        data: Structures with energies and forces, a file of them, or the word ``ethanol`` for the shipped test set.
        batch_size: Structures per batch.
        device: Where to compute; without it a potential stays where it is, and a file is read to the CPU.

    Returns:
        The errors.

    Units:
        meV, meV/A, meV/A^3, as the names of the fields say.

    Raises:
        ValueError: There is no structure.
    """
    potential = model if isinstance(model, Potential) else Potential.load(model)
    frames = load_frames(data, "test") if isinstance(data, (str, Path)) else data
    if device is not None:
        potential = potential.to(device)
    return compute_errors(predict(potential, frames, batch_size=batch_size))
