"""What is likely wrong with structures to train on, by one pass that costs little beside a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch_geometric.data import Data

from pyg_mpnn.data.dataset import PreparedStructures
from pyg_mpnn.data.reference import fit_energies
from pyg_mpnn.geometry import edge_vectors

FAR = 20.0  # times what nine of ten structures have
FEWEST = 10  # structures, below which nothing stands apart


@dataclass
class Survey:
    """What one pass over structures leaves.

    Args:
        weights: weight of each structure in the loss.
        energies: elements and energy by place, of the structures that have one.
        strongest: largest force in eV/A by place, of the structures that have forces.
        copies: places of a structure and of an earlier one that it is a copy of.
    """

    weights: list[float] = field(default_factory=list)
    energies: dict[int, Data] = field(default_factory=dict)
    strongest: dict[int, float] = field(default_factory=dict)
    copies: list[tuple[int, int]] = field(default_factory=list)


def survey(structures: PreparedStructures, numbers: Sequence[int]) -> Survey:
    """Go through structures once.

    A copy has the same atomic numbers in the same order, distances within the cutoff, energy and forces, each to about
    six digits: a molecule may be turned and moved, of a crystal the positions and the cell are the same too.

    Args:
        structures: the structures, with edges.
        numbers: their numbers in the file, as messages call them.

    Returns:
        what :func:`find_outliers` and messages need.

    Source:
        own design.
    """
    found = Survey()
    known: dict[tuple[object, ...], int] = {}
    for index, place in enumerate(numbers):
        frame = structures.with_edges(index)
        found.weights.append(float(frame.weight) if "weight" in frame else 1.0)
        if "energy" in frame:
            found.energies[place] = Data(z=frame.z, energy=frame.energy)
        if "forces" in frame and frame.forces.numel():
            found.strongest[place] = float(frame.forces.double().norm(dim=1).max())
        first = known.setdefault(_mark(frame), place)
        if first != place:
            found.copies.append((place, first))
    return found


def find_outliers(found: Survey) -> list[str]:
    """Structures whose largest force, or energy per atom, is far from those of nearly all others.

    Far is more than 20 times what nine of ten structures stay below: the largest force, or the distance of the energy
    per atom that the composition does not explain from its median. ``pyg-mpnn inspect`` looks closer.

    Args:
        found: of :func:`survey`.

    Returns:
        a sentence for each.

    Source:
        own design.
    """
    texts = [
        f"structure {place} has a force of {found.strongest[place]:.3g} eV/A, far above those of the others"
        for place in _apart(found.strongest)
    ]
    if len(found.energies) < FEWEST:
        return texts
    of_elements, _ = fit_energies(found.energies.values(), {})
    left = {
        place: (float(frame.energy) - sum(of_elements[z] for z in frame.z.tolist())) / max(len(frame.z), 1)
        for place, frame in found.energies.items()
    }
    middle = float(np.median(list(left.values())))
    far = _apart({place: abs(energy - middle) for place, energy in left.items()})
    return [
        *texts,
        *(
            f"structure {place} has an energy {left[place] - middle:+.3g} eV/atom from those of the others"
            for place in far
        ),
    ]


def _apart(values: Mapping[int, float]) -> list[int]:
    if len(values) < FEWEST:
        return []
    limit = FAR * float(np.quantile(list(values.values()), 0.9))
    return [place for place, value in values.items() if value > limit > 0]


def _mark(frame: Data) -> tuple[object, ...]:
    """Numbers that are the same for a structure and its copy."""
    pos, cell = frame.pos.double(), frame.cell.double() if "cell" in frame else None
    dist = edge_vectors(pos, frame.edge_index, frame.shifts, cell).norm(dim=1)
    numbers = [dist.sum(), dist.square().sum()]
    numbers += [frame[name].double().norm() for name in ("energy", "forces") if name in frame]
    if cell is not None and bool(frame.pbc.any()):
        order = torch.arange(1.0, len(pos) + 1, dtype=torch.float64)
        numbers += [*cell.flatten(), *(order @ pos), *(order @ frame.forces.double() if "forces" in frame else ())]
    digits = [f"{float(value):.6g}" for value in numbers]
    return (frame.z.numpy().tobytes(), frame.edge_index.shape[1], *digits)
