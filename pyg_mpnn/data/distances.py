"""How near atoms come to each other in a set of structures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_mpnn.data.dataset import PreparedStructures, each_with_edges
from pyg_mpnn.data.frames import prepare_frames
from pyg_mpnn.geometry import edge_vectors, neighbor_list


def shortest_distances(frames: Iterable[Data] | PreparedStructures, cutoff: float) -> dict[tuple[int, int], float]:
    """Shortest distance of each pair of elements over all structures, images in cells included.

    Args:
        frames: structures, at least one, prepared (then nothing is checked or searched again) or not.
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
    for frame, edge_index, dist in _pairs(frames, cutoff):
        first, second = frame.z[edge_index].sort(dim=0).values
        for pair in set(zip(first.tolist(), second.tolist(), strict=True)):
            shortest = float(dist[(first == pair[0]) & (second == pair[1])].min())
            found[pair] = min(shortest, found.get(pair, shortest))
    return found


def _pairs(frames: Iterable[Data] | PreparedStructures, cutoff: float) -> Iterator[tuple[Data, Tensor, Tensor]]:
    """Each structure with its pairs of atoms and their distances, one at a time: they may be on the disk."""
    if isinstance(frames, PreparedStructures):
        if cutoff <= frames.cutoffs[-1]:
            for frame in each_with_edges(frames):
                yield _within(frame, frame.edge_index, frame.shifts, cutoff)
            return
        frames = frames.structures
    number = 0
    for number, one in enumerate(frames, start=1):
        (frame,) = prepare_frames([one], first=number - 1)
        cell, pbc = getattr(frame, "cell", None), getattr(frame, "pbc", None)
        found = neighbor_list(frame.pos.double(), cutoff, cell=cell, pbc=pbc)
        yield _within(frame, found.edge_index, found.shifts, cutoff)
    if number == 0:
        raise ValueError("'frames' must hold at least one structure, got none: the data set is empty.")


def _within(frame: Data, edge_index: Tensor, shifts: Tensor, cutoff: float) -> tuple[Data, Tensor, Tensor]:
    cell = frame.cell.double() if "cell" in frame else None
    dist = torch.linalg.vector_norm(edge_vectors(frame.pos.double(), edge_index, shifts, cell), dim=-1)
    return frame, edge_index[:, dist < cutoff], dist[dist < cutoff]
