"""How near atoms come to each other in a set of structures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_mpnn.data.dataset import PreparedStructures
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
    prepared = isinstance(frames, PreparedStructures) and cutoff <= frames.cutoffs[-1]
    number = 0
    for number, one in enumerate(_each(frames) if prepared else frames, start=1):
        frame = one if prepared else prepare_frames([one], first=number - 1)[0]
        pos, cell, pbc = frame.pos.double(), getattr(frame, "cell", None), getattr(frame, "pbc", None)
        edges = (frame.edge_index, frame.shifts) if prepared else neighbor_list(pos, cutoff, cell=cell, pbc=pbc)
        cell = None if cell is None else cell.double()
        dist = torch.linalg.vector_norm(edge_vectors(pos, *edges, cell), dim=-1)
        inside = dist < cutoff
        yield frame, edges[0][:, inside], dist[inside]
    if number == 0:
        raise ValueError("'frames' must hold at least one structure, got none: the data set is empty.")


def _each(frames: PreparedStructures) -> Iterator[Data]:
    return (frames.with_edges(index) for index in range(len(frames)))
