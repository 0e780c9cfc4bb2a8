"""What a property model takes from its training data besides its weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch_geometric.data import Data

from pyg_mpnn.data.reference import Reference, count_neighbors
from pyg_mpnn.models.property import PropertyKind
from pyg_mpnn.readout import SpatialExtentReadout


class PropertyReference(NamedTuple):
    """Numbers fitted to the training molecules: of each element, of the network, and the spread of what is left."""

    reference: Reference
    spread: float


def design_matrix(frames: Sequence[Data], kind: PropertyKind, elements: Sequence[int]) -> np.ndarray:
    """What the number of each element is multiplied with: atoms, their fraction, or their squared distances.

    Args:
        frames: molecules.
        kind: kind of the property.
        elements: atomic numbers.

    Returns:
        one row a molecule, one column an element.
    """
    readout, rows = SpatialExtentReadout(), []
    for frame in frames:
        of_element = torch.stack([(frame.z == element).double() for element in elements])
        if kind == "extensive":
            rows.append(of_element.sum(dim=1))
        elif kind == "intensive":
            rows.append(of_element.mean(dim=1))
        else:
            one = torch.zeros_like(frame.z)
            rows.append(torch.cat([readout(q, frame.z, frame.pos.double(), one, 1) for q in of_element]))
    return torch.stack(rows).numpy()


def fit_property_reference(frames: Sequence[Data], kind: PropertyKind, cutoffs: Sequence[float]) -> PropertyReference:
    """Fit a number for each element by least squares, and the sizes of what is left for the network.

    A dipole gets zeros, since the mean of charges is not determined by lengths.

    Args:
        frames: training molecules with ``target``.
        kind: kind of the property.
        cutoffs: cutoffs of the model in A, increasing.

    Returns:
        the numbers; ``spread`` is the RMS of what the fit leaves.

    Units:
        those of the target; for a dipole per A, for a spatial extent per A^2.

    Raises:
        ValueError: there is nothing left to learn.
    """
    elements = sorted({int(z) for frame in frames for z in frame.z.unique()})
    target = np.array([float(frame.target) for frame in frames])
    matrix = design_matrix(frames, kind, elements)
    total = matrix.sum(axis=1)
    values, rank = np.zeros(len(elements)), len(elements)
    if kind == "dipole":
        total = np.sqrt(total)
    else:
        mean = target.sum() / total.sum()
        change, _, rank, _ = np.linalg.lstsq(matrix, target - total * mean, rcond=None)
        values = mean + change
    left = target - matrix @ values
    spread = float(np.sqrt(np.mean(left**2)))
    if not spread > 1e-12 * max(1.0, float(np.abs(target).max())):
        raise ValueError("'frames' must differ in their targets, got none that elements do not explain.")
    scale = float(np.sqrt(np.mean((left / np.maximum(total, 1e-3)) ** 2)))
    numbers = dict(zip(elements, values.tolist(), strict=True))
    neighbors = count_neighbors(frames, cutoffs)
    return PropertyReference(Reference(numbers, scale, neighbors, int(rank), len(elements)), spread)
