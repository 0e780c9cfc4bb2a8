"""Layers over many edges in little memory: chunks, whose intermediate results are computed again when needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from pyg_mpnn.layers import Interaction, MultiScale

Memory = Literal["normal", "low"]

CHUNK = 2**17
"""Edges of all scales that are worked on at once, as far as the neighbours of one atom allow."""


def advance_in_chunks(
    layer: Interaction | MultiScale, x: Tensor, scales: Sequence[Any], density: Tensor | None, size: int = CHUNK
) -> tuple[Tensor, Tensor | None]:
    """The same as ``layer(x, ..., density)`` up to rounding, with the memory of one chunk instead of all edges.

    Atoms are cut into ranges; the edges that end in a range are a chunk. Only sums over a chunk are kept, what led to
    them is computed a second time for the derivatives.

    Args:
        layer: layer to apply.
        x: node features.
        scales: for each scale ``edge_index``, ``radial``, ``envelope`` and ``sphere``, edges sorted by receiver.
        density: directional density, or none.
        size: number of edges at once.

    Returns:
        new node features and new density.

    Shapes:
        as of the layer.
    """
    ends = torch.stack([torch.bincount(scale[0][1], minlength=x.shape[0]).cumsum(0) for scale in scales])
    total: Tensor | None = None
    change: Tensor | None = None
    for first, last in _ranges(ends.sum(dim=0), size):
        chunk = [
            _select(scale, _start(row, first), int(row[last - 1])) for scale, row in zip(scales, ends, strict=True)
        ]
        edges = tuple(chunk[0]) if isinstance(layer, Interaction) else tuple(zip(*chunk, strict=True))
        part, part_change = checkpoint(layer.neighbor_sums, x, *edges, density, use_reentrant=False)
        total = part if total is None else total + part
        if part_change is not None:
            change = part_change if change is None else change + part_change
    assert total is not None
    new: tuple[Tensor, Tensor | None] = checkpoint(layer.advance, x, density, total, change, use_reentrant=False)
    return new


def _ranges(ends: Tensor, size: int) -> list[tuple[int, int]]:
    """Ranges of atoms with about ``size`` edges, at least one atom each; one range of nothing for no atoms."""
    marks = torch.arange(size, int(ends[-1]) + size, size, device=ends.device) if len(ends) else ends
    cuts = sorted(set(torch.searchsorted(ends, marks, right=True).clamp(min=1).tolist())) or [len(ends)]
    cuts[-1] = len(ends)
    return list(zip([0, *cuts[:-1]], cuts, strict=True))


def _start(ends: Tensor, first: int) -> int:
    return int(ends[first - 1]) if first else 0


def _select(scale: Any, start: int, end: int) -> list[Tensor | None]:
    edge_index, *others = scale
    return [edge_index[:, start:end], *(None if tensor is None else tensor[start:end] for tensor in others)]
