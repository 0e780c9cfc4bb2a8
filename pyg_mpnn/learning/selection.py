"""Which structures to ask the teacher for: those of large error bars that are far from each other and all others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from ase import Atoms
from numpy.typing import NDArray
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader

from pyg_mpnn.data import to_data
from pyg_mpnn.data.dataset import as_prepared
from pyg_mpnn.data.labels import LabelSource
from pyg_mpnn.models import Committee, Potential
from pyg_mpnn.models.structure import read_structure

NEAR_COPY = 0.05
"""Distance of two structures, over the root mean square distance to the mean, below which one is a near copy."""


def describe(model: Committee, structures: Sequence[Atoms]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Features of structures, and their error bars.

    The features are mean and standard deviation, over the atoms of each element, of what the last layer of the first
    member is a linear function of.

    Args:
        model: the student.
        structures: at least one.

    Returns:
        one row of features for each structure, and the root mean square of its error bars of forces.

    Shapes:
        (structures, features) and (structures,).

    Units:
        eV and eV/A.
    """
    member = model.potentials[0]
    assert isinstance(member, Potential)
    frames = [to_data(atoms, labels=LabelSource({})) for atoms in structures]
    prepared = as_prepared(frames, model.cutoff, model.dtype)
    elements = sorted({int(z) for atoms in structures for z in atoms.numbers} | set(member.elements))
    rows: list[NDArray[np.float64]] = []
    bars: list[float] = []
    with torch.no_grad():
        for batch in DataLoader(prepared, batch_size=16):
            numbers, places = batch.z.numpy(), batch.batch.numpy()
            batch = batch.to(model.device)
            features = _of_atoms(member, batch)
            of_atoms = model(batch, forces=True).others["forces_std"].cpu().numpy()
            for place in range(batch.num_graphs):
                own = places == place
                rows.append(_pooled(features[own], numbers[own], elements))
                bars.append(float(np.sqrt(np.mean(of_atoms[own] ** 2))))
    return np.array(rows), np.array(bars)


def _of_atoms(potential: Potential, batch: Batch) -> NDArray[np.float64]:
    structure = read_structure(batch, *([None] * 6))
    structure = potential.with_inputs(structure, batch).with_edges(potential.cutoff)
    found: NDArray[np.float64] = potential.last_layer(structure, structure.pos, None)[1].double().cpu().numpy()
    return found


def _pooled(features: NDArray[np.float64], numbers: NDArray[np.int64], elements: Sequence[int]) -> NDArray[np.float64]:
    parts = []
    for z in elements:
        own = features[numbers == z]
        parts += [own.mean(axis=0), own.std(axis=0)] if len(own) else [np.zeros(2 * features.shape[1])]
    return np.concatenate(parts)


def select(
    features: NDArray[np.float64], bars: NDArray[np.float64], known: NDArray[np.float64], count: int
) -> list[int]:
    r"""Choose structures one by one: the one with the largest product of error bar and distance to what there is.

    .. math:: k = \arg\max_k \; \sigma_k \min_{j} |x_k - x_j|

    over the structures that are known or chosen already. Each feature is in units of its spread over all.

    Args:
        features: of the structures to choose from, one row each.
        bars: their error bars, positive.
        known: features of those that have labels.
        count: how many to choose at most; fewer where the rest are near copies (:data:`NEAR_COPY`).

    Returns:
        places, in the order in which they were chosen.

    Shapes:
        features (candidates, features), bars (candidates,), known (labelled, features).

    Source:
        farthest-point sampling: Eldar et al., IEEE Trans. Image Process. 6, 1305 (1997); the weight is our own.

    Example:
        >>> import numpy as np
        >>> points = np.array([[0.0], [0.01], [5.0], [9.0]])
        >>> select(points, np.ones(4), np.array([[0.0]]), 4)
        [3, 2]
    """
    every = np.concatenate([features, known])
    spread = every.std(axis=0)
    used = spread > 1e-9 * max(1.0, float(spread.max(initial=0.0)))
    if not used.any():
        return []
    points, others = features[:, used] / spread[used], known[:, used] / spread[used]
    nearest = np.full(len(points), np.inf)
    for row in others:
        nearest = np.minimum(nearest, np.linalg.norm(points - row, axis=1))
    least = NEAR_COPY * np.sqrt(used.sum())  # the root mean square distance to the mean, in these units
    chosen: list[int] = []
    while len(chosen) < count:
        scores = np.where(nearest > least, bars * np.minimum(nearest, 1e6), -1.0)
        best = int(np.argmax(scores)) if len(scores) else 0
        if not len(scores) or scores[best] < 0:
            break
        chosen.append(best)
        nearest = np.minimum(nearest, np.linalg.norm(points - points[best], axis=1))
        nearest[best] = 0.0
    return chosen
