"""Random rotations, for models that have to learn the symmetry."""

from __future__ import annotations

import torch
from e3nn import o3
from torch_geometric.data import Batch


def rotate_batch(batch: Batch) -> Batch:
    r"""A copy of the batch turned by one random rotation.

    .. math:: r' = R r, \quad F' = R F, \quad c' = R c, \quad \sigma' = R \sigma R^T

    R is uniform over SO(3) and drawn from PyTorch's global generator, whose state the checkpoints keep. Energies,
    edges and integer shifts do not change.

    Args:
        batch: Structures with ``pos`` and perhaps ``forces``, ``cell``, ``stress``.

    Returns:
        The rotated copy.

    Shapes:
        as they come.

    Units:
        none

    Source:
        own design; one rotation per batch, because a batch is small and the next one is turned differently.
    """
    batch = batch.clone()
    matrix = o3.rand_matrix(dtype=torch.float64).to(batch.pos)
    for name in ("pos", "forces", "cell"):
        if name in batch:
            batch[name] = batch[name] @ matrix.to(batch[name].dtype).T
    if "stress" in batch:
        matrix = matrix.to(batch.stress.dtype)
        batch.stress = matrix @ batch.stress @ matrix.T
    return batch
