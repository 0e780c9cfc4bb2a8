"""What is likely wrong with structures to train on, by checks that cost nothing beside a training."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from torch_geometric.data import Data

from pyg_mpnn.data.dataset import PreparedStructures
from pyg_mpnn.data.reference import fit_energies
from pyg_mpnn.geometry import edge_vectors

FAR = 20.0  # times what nine of ten structures have
FEWEST = 10  # structures, below which nothing stands apart


def find_outliers(structures: Iterable[Data]) -> list[str]:
    """Look for structures whose largest force, or energy per atom, is far from those of nearly all others.

    Far is more than 20 times what nine of ten structures stay below: the largest force, or the distance of the energy
    per atom that the composition does not explain from its median. ``pyg-mpnn inspect`` looks closer.

    Args:
        structures: the structures, checked.

    Returns:
        a sentence for each kind.

    Source:
        own design.
    """
    strongest: dict[int, float] = {}
    energies: dict[int, Data] = {}
    for place, frame in enumerate(structures):
        if "forces" in frame and frame.forces.numel():
            strongest[place] = float(frame.forces.double().norm(dim=1).max())
        if "energy" in frame:
            energies[place] = Data(z=frame.z, energy=frame.energy)
    texts = []
    for place in _apart(strongest):
        texts.append(f"structure {place} has a force of {strongest[place]:.3g} eV/A, far above those of the others")
    if len(energies) >= FEWEST:
        of_elements, _ = fit_energies(energies.values(), {})
        left = {
            place: (float(frame.energy) - sum(of_elements[z] for z in frame.z.tolist())) / max(len(frame.z), 1)
            for place, frame in energies.items()
        }
        middle = float(np.median(list(left.values())))
        for place in _apart({place: abs(energy - middle) for place, energy in left.items()}):
            texts.append(
                f"structure {place} has an energy {left[place] - middle:+.3g} eV/atom from those of the others"
            )
    return texts


def _apart(values: dict[int, float]) -> list[int]:
    if len(values) < FEWEST:
        return []
    limit = FAR * float(np.quantile(list(values.values()), 0.9))
    return [place for place, value in values.items() if value > limit > 0]


def find_copies(first: PreparedStructures, second: PreparedStructures | None = None) -> list[tuple[int, int]]:
    """Look for structures that are there twice: equal up to a rotation or shift, with equal labels.

    Compared are the atomic numbers in their order, the distances within the cutoff, energy, forces and cell; each to
    about six digits.

    Args:
        first: structures.
        second: other structures; the same ones without it.

    Returns:
        places of a structure of the first set and of its copy, which is in the second, or behind it in the first.

    Source:
        own design.
    """
    known: dict[tuple[object, ...], int] = {}
    pairs = []
    for place in range(len(first)):
        key = _mark(first.with_edges(place))
        if second is None and key in known:
            pairs.append((known[key], place))
        known.setdefault(key, place)
    if second is None:
        return pairs
    marks = (_mark(second.with_edges(place)) for place in range(len(second)))
    return [(known[key], place) for place, key in enumerate(marks) if key in known]


def _mark(frame: Data) -> tuple[object, ...]:
    """Numbers that are the same for a structure and its copy."""
    cell = frame.cell.double() if "cell" in frame else None
    dist = edge_vectors(frame.pos.double(), frame.edge_index, frame.shifts, cell).norm(dim=1)
    periodic = cell is not None and bool(frame.pbc.any())
    numbers = [dist.sum(), dist.square().sum()]
    numbers += [frame[name].double().norm() for name in ("energy", "forces") if name in frame]
    numbers += list(cell.flatten()) if periodic and cell is not None else []
    digits = [f"{float(value):.6g}" for value in numbers]
    return (frame.z.numpy().tobytes(), frame.edge_index.shape[1], *digits)
