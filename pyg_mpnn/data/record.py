"""What the file of a model keeps of the structures it was trained on, in plain values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch_geometric.data import Data

from pyg_mpnn.data.dataset import PreparedStructures
from pyg_mpnn.geometry.structures import heights

_LOOKED_AT = 64  # structures, evenly spaced, of which some are kept
_KEPT = 4
VACUUM = 6.0  # A: a cell with a wider gap is a slab, a cluster or a molecule, and has no density
_UNITS = {"energy": "eV", "length": "A", "forces": "eV/A", "stress": "eV/A^3"}
_CONVENTIONS = {"stress": "ASE's sign; of a slab over the volume of its cell"}


def make_record(
    train: PreparedStructures, distances: Mapping[tuple[int, int], float], sources: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """What a file keeps: where the labels were, shortest distances of pairs of elements, a few small structures.

    Args:
        train: structures to train on.
        distances: shortest distance in A by pair of atomic numbers.
        sources: what was read from each file, with ``labels`` in words.

    Returns:
        plain values: ``units`` and ``conventions`` of what a model learns, whatever they were in the files; ``labels``,
        by label where it was; ``shortest_distances``, triples of two atomic numbers and A; ``structures``, with ``z``,
        ``pos`` and, of crystals, ``cell`` and ``pbc``: small ones that have all elements of those looked at;
        ``volumes``, for each set of elements of structures that are periodic in three directions: atomic numbers,
        smallest and largest volume per atom in A^3.

    Example:
        >>> from pyg_mpnn.data import StructureDataset, ethanol, shortest_distances
        >>> train = StructureDataset(ethanol("train")[:8], cutoff=5.0)
        >>> record = make_record(train, shortest_distances(train, 5.0), [])
        >>> len(record["structures"]), record["structures"][0]["z"][:3]
        (4, [6, 6, 8])
    """
    places = range(0, len(train), -(-len(train) // _LOOKED_AT))
    found = [train.structures[place] for place in places]
    found = sorted((frame for frame in found if frame.z.numel() > 1), key=lambda frame: frame.z.numel())
    chosen: list[Data] = []
    known: set[int] = set()
    for frame in found:  # the smallest that bring an element
        if not known >= set(frame.z.tolist()):
            chosen.append(frame)
            known |= set(frame.z.tolist())
    rest = [frame for frame in found if not any(frame is other for other in chosen)]
    missing = max(_KEPT - len(chosen), 0)
    chosen += rest[:: max(1, len(rest) // missing)][:missing] if missing else []
    counts: dict[str, dict[str, int]] = {}  # of each label, structures by the name that it had there
    for source in sources:
        for label, where in source["labels"].items():
            name, _, count = where.rpartition(" in ")
            of = counts.setdefault(label, {})
            of[name] = of.get(name, 0) + int(count)
    labels = {label: [f"{name} in {count}" for name, count in of.items()] for label, of in counts.items()}
    return {
        "units": dict(_UNITS),
        "conventions": dict(_CONVENTIONS),
        "labels": {label: "; ".join(places) for label, places in labels.items()},
        "shortest_distances": [[*pair, distance] for pair, distance in sorted(distances.items())],
        "structures": [_plain(frame) for frame in chosen],
        "volumes": _volumes(train.structures),
    }


def kept_structures(record: Mapping[str, Any]) -> list[Data]:
    """The structures of :func:`make_record`.

    Args:
        record: of the file; empty where it has none.

    Returns:
        structures without labels.
    """
    frames = []
    for kept in record.get("structures", ()):
        frame = Data(z=torch.tensor(kept["z"]), pos=torch.tensor(kept["pos"], dtype=torch.float64))
        if "cell" in kept:
            frame.cell = torch.tensor(kept["cell"], dtype=torch.float64)
            frame.pbc = torch.tensor(kept["pbc"])
        frames.append(frame)
    return frames


def kept_distances(record: Mapping[str, Any]) -> dict[tuple[int, int], float]:
    """The shortest distances of :func:`make_record`.

    Args:
        record: of the file; empty where it has none.

    Returns:
        distances in A by pair of atomic numbers.
    """
    return {(first, second): distance for first, second, distance in record.get("shortest_distances", ())}


def kept_volumes(record: Mapping[str, Any]) -> dict[tuple[int, ...], tuple[float, float]] | None:
    """The smallest and largest volume per atom of :func:`make_record`.

    Args:
        record: of the file; empty where it has none.

    Returns:
        volumes in A^3 by sorted atomic numbers; None where the file was made before they were kept.
    """
    if "volumes" not in record:
        return None
    return {tuple(elements): (smallest, largest) for elements, smallest, largest in record["volumes"]}


def _volumes(frames: Iterable[Data]) -> list[list[Any]]:
    found: dict[tuple[int, ...], list[float]] = {}
    for frame in frames:
        if "cell" in frame and "pbc" in frame and bool(frame.pbc.all()) and _widest_gap(frame) < VACUUM:
            volume = float(torch.linalg.det(frame.cell.double().reshape(3, 3)).abs()) / frame.z.numel()
            known = found.setdefault(tuple(sorted(set(frame.z.tolist()))), [volume, volume])
            known[:] = min(known[0], volume), max(known[1], volume)
    return [[list(elements), *volumes] for elements, volumes in sorted(found.items())]


def _widest_gap(frame: Data) -> float:
    """The widest layer without atoms between two faces of the cell, in A."""
    cell = frame.cell.double().reshape(1, 3, 3)
    places = (frame.pos.double() @ torch.linalg.inv(cell[0])).remainder(1.0).sort(dim=0).values
    gaps = torch.cat([places, places[:1] + 1.0]).diff(dim=0).amax(dim=0)  # across the boundary too
    return float((gaps * heights(cell)[0]).max())


def _plain(frame: Data) -> dict[str, Any]:
    kept = {"z": frame.z.tolist(), "pos": frame.pos.double().tolist()}
    if "cell" in frame and "pbc" in frame and bool(frame.pbc.any()):
        kept |= {"cell": frame.cell.double().reshape(1, 3, 3).tolist(), "pbc": frame.pbc.reshape(1, 3).tolist()}
    return kept
