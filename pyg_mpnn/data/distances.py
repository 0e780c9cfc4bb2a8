"""How near atoms come to each other in a set of structures."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch_geometric.data import Data

from pyg_mpnn.data.frames import prepare_frames
from pyg_mpnn.geometry import edge_vectors, neighbor_list


def shortest_distances(frames: Iterable[Data], cutoff: float) -> dict[tuple[int, int], float]:
    """Shortest distance of each pair of elements over all structures, images in cells included.

    Args:
        frames: structures, at least one.
        cutoff: largest distance to look at, in A.

    Returns:
        distances in A by pair of atomic numbers, the smaller number first; pairs that are nowhere nearer than
        ``cutoff`` are left out.

    Units:
        A.

    Raises:
        ValueError: there are no frames, or one has a bad value.

    Example:
        >>> from pyg_mpnn.data import ethanol
        >>> distances = shortest_distances(ethanol("train")[:10], cutoff=5.0)
        >>> sorted(distances), 0.8 < distances[1, 6] < 1.1
        ([(1, 1), (1, 6), (1, 8), (6, 6), (6, 8)], True)
    """
    found: dict[tuple[int, int], float] = {}
    number = 0
    for number, frame in enumerate(frames, start=1):  # one at a time: they may be streamed
        (frame,) = prepare_frames([frame], first=number - 1)
        pos, cell, pbc = frame.pos.double(), getattr(frame, "cell", None), getattr(frame, "pbc", None)
        edge_index, shifts = neighbor_list(pos, cutoff, cell=cell, pbc=pbc)
        dist = torch.linalg.vector_norm(edge_vectors(pos, edge_index, shifts, cell), dim=-1)
        first, second = frame.z[edge_index].sort(dim=0).values
        for pair in set(zip(first.tolist(), second.tolist(), strict=True)):
            shortest = float(dist[(first == pair[0]) & (second == pair[1])].min())
            found[pair] = min(shortest, found.get(pair, shortest))
    if number == 0:
        raise ValueError("'frames' must hold at least one structure, got none: the data set is empty.")
    return found
