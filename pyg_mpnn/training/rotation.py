"""Random rotations, for models that have to learn the symmetry."""

from __future__ import annotations

import torch
from e3nn import o3
from jaxtyping import Float
from torch import Tensor
from torch_geometric.data import Batch


def random_rotation() -> Float[Tensor, "3 3"]:
    """A rotation drawn uniformly from SO(3) by PyTorch's global generator, whose state the checkpoints keep.

    Returns:
        The matrix, in float64.
    """
    matrix: Tensor = o3.rand_matrix(dtype=torch.float64)
    return matrix


def rotate_batch(batch: Batch, matrix: Float[Tensor, "3 3"] | None = None) -> Batch:
    r"""A copy of the batch turned by one rotation.

    .. math:: r' = R r, \quad F' = R F, \quad c' = R c, \quad \sigma' = R \sigma R^T

    Energies, edges and integer shifts do not change.

    Args:
        batch: Structures with ``pos`` and perhaps ``forces``, ``cell``, ``stress``.
        matrix: The rotation R; :func:`random_rotation` without it.

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
    matrix = (random_rotation() if matrix is None else matrix).to(batch.pos)
    for name in ("pos", "forces", "cell"):
        if name in batch:
            batch[name] = batch[name] @ matrix.to(batch[name].dtype).T
    if "stress" in batch:
        matrix = matrix.to(batch.stress.dtype)
        batch.stress = matrix @ batch.stress @ matrix.T
    return batch
