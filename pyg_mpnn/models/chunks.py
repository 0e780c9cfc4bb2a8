"""Layers over many edges in little memory: chunks, whose intermediate results are computed again when needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from pyg_mpnn.layers.edge_block import NodeDensity, NodeFeatures, ends

Memory = Literal["normal", "low"]
MEMORY = get_args(Memory)

CHUNK = 2**17
"""Edges of all scales that are worked on at once, as far as the neighbours of one atom allow."""


def advance_in_chunks(
    layer: nn.Module, x: NodeFeatures, scales: Sequence[Any], density: NodeDensity | None, size: int = CHUNK
) -> tuple[Tensor, Tensor | None]:
    """The same as ``layer(x, ..., density)`` up to rounding, with the memory of one chunk instead of all edges.

    The receivers are cut into ranges, and the layer is called on the edges that end in a range. Only its results are
    kept, what led to them is computed a second time for the derivatives.

    Args:
        layer: layer to apply.
        x: node features, or a pair of those of senders and receivers.
        scales: for each scale ``edge_index``, ``radial``, ``envelope`` and ``sphere``, edges sorted by receiver.
        density: directional density as ``x``, or none.
        size: number of edges at once.

    Returns:
        new node features and new density.

    Shapes:
        as of the layer.
    """
    source, target = ends(x)
    source_density, target_density = ends(density)
    last_edges = torch.stack([torch.bincount(scale[0][1], minlength=target.shape[0]).cumsum(0) for scale in scales])
    parts = []
    for first, last in _ranges(last_edges.sum(dim=0), size):
        chunk = [
            _select(scale, _start(row, first), int(row[last - 1]), first)
            for scale, row in zip(scales, last_edges, strict=True)
        ]
        edges = tuple(chunk[0]) if len(scales) == 1 else tuple(zip(*chunk, strict=True))
        densities = None if target_density is None else (source_density, target_density[first:last])
        parts.append(checkpoint(layer, (source, target[first:last]), *edges, densities, use_reentrant=False))
    new_x, new_density = zip(*parts, strict=True)
    return torch.cat(new_x), None if density is None else torch.cat(new_density)


def _ranges(ends: Tensor, size: int) -> list[tuple[int, int]]:
    """Ranges of atoms with about ``size`` edges, at least one atom each; one range of nothing for no atoms."""
    marks = torch.arange(size, int(ends[-1]) + size, size, device=ends.device) if len(ends) else ends
    cuts = sorted(set(torch.searchsorted(ends, marks, right=True).clamp(min=1).tolist())) or [len(ends)]
    cuts[-1] = len(ends)
    return list(zip([0, *cuts[:-1]], cuts, strict=True))


def _start(ends: Tensor, first: int) -> int:
    return int(ends[first - 1]) if first else 0


def _select(scale: Any, start: int, end: int, first: int) -> list[Tensor | None]:
    """Edges ``start`` to ``end`` of a scale, with receivers counted from ``first``."""
    edge_index, *others = scale
    pairs = edge_index[:, start:end] - edge_index.new_tensor([[0], [first]])
    return [pairs, *(None if tensor is None else tensor[start:end] for tensor in others)]
