"""Starting from a trained potential in place of random weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import torch
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader

from pyg_mpnn.data import Reference
from pyg_mpnn.data.dataset import PreparedStructures, as_prepared
from pyg_mpnn.data.reference import fit_energies
from pyg_mpnn.models import Potential
from pyg_mpnn.models.build import Trust
from pyg_mpnn.models.pretrained import PRETRAINED, model_file


def load_start(path: str | Path, dtype: torch.dtype, trust: Trust = ()) -> Potential:
    """Read the potential that a training starts from; no code runs but that of this package and what is trusted.

    Args:
        path: Checkpoint of a training, saved potential, or name of a potential that comes with the package.
        dtype: Precision to train in.
        trust: Code of the user's that may run.

    Returns:
        The potential, in training mode.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It holds no potential of this package.
    """
    if not model_file(path).is_file():
        raise FileNotFoundError(
            f"'start_from' must be a file, got {str(path)!r}: give the best.ckpt of a training, or the name of a "
            f"potential that comes with the package ({', '.join(PRETRAINED)})."
        )
    return Potential.load(path, trust=trust).to(dtype).train()


def correct_reference(
    potential: Potential, frames: Sequence[Data] | PreparedStructures, fitted: Reference, same_level: bool = False
) -> Reference:
    r"""The reference energies of a trained potential, corrected to new structures; its scale and neighbours, kept.

    .. math:: \min_{\Delta} \sum_s \Big(E_s - \hat E_s - \sum_Z n_{sZ} \Delta_Z\Big)^2

    with the energies :math:`\hat E_s` that the potential predicts: the correction is near zero where the new energies
    are at the level of theory of the old ones, and takes their shift where they are not. Where the compositions leave
    it open, it is the one closest to the same correction for every atom, as in :func:`~pyg_mpnn.data.fit_reference`.
    The force scale and the mean numbers of neighbours are part of what the weights mean, and stay.

    Args:
        potential: The trained potential.
        frames: The new training structures, some with energies.
        fitted: What :func:`~pyg_mpnn.data.fit_reference` makes of them.
        same_level: Whether they are known to be at the level of theory of the old ones: nothing is corrected then, for
            what the potential leaves is its error, such as the energy of a surface where it has seen none.

    Returns:
        ``fitted`` with corrected energies and the old scale; elements that the new structures lack are left out, since
        their energies are not known at a new level of theory.

    Units:
        eV, eV/A.

    Raises:
        ValueError: The structures have an element that the potential was not trained on.

    Source:
        own design.
    """
    unknown = sorted(set(fitted.energies) - set(potential.elements))
    if unknown:
        raise ValueError(
            "'data' must hold elements that the potential of 'start_from' was trained on "
            f"({list(potential.elements)}), got the atomic numbers {unknown} too: leave these structures out, or train "
            "without 'start_from'."
        )
    assert potential.atomwise is not None
    kept, scale = {z: float(potential.atomwise.reference[z]) for z in fitted.energies}, float(potential.atomwise.scale)
    if same_level:
        return dataclasses.replace(fitted, energies=kept, scale=scale)
    was_training = potential.training
    dataset = as_prepared(frames, potential.cutoffs, potential.dtype)
    predicted: list[float] = []
    with torch.no_grad():
        for batch in DataLoader(dataset, batch_size=32):
            predicted += _energies(potential.eval(), batch)
    potential.train(was_training)
    left = [
        Data(z=frame.z, energy=frame.energy.double() - energy) if "energy" in frame else Data(z=frame.z)
        for frame, energy in zip(dataset.structures, predicted, strict=True)
    ]
    correction, _ = fit_energies(left, {})
    return dataclasses.replace(fitted, energies={z: kept[z] + shift for z, shift in correction.items()}, scale=scale)


def _energies(potential: Potential, batch: Batch) -> list[float]:
    energies: list[float] = potential(batch, forces=False).energy.tolist()
    return energies
