"""Pair distribution functions of periodic structures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from ase import Atoms
from ase.data import chemical_symbols

from pyg_mpnn.geometry import neighbor_list

__all__ = ["pair_distribution", "pair_reach"]


def pair_reach(frames: Sequence[Atoms]) -> float:
    """Half the smallest height of all cells: beyond it an atom meets images of the same atom twice.

    Args:
        frames: periodic structures.

    Returns:
        The distance in A.
    """
    return float(min(0.5 / np.linalg.norm(np.linalg.inv(of.cell.array), axis=0).max() for of in frames))


def pair_distribution(
    frames: Sequence[Atoms], reach: float, bins: int = 160
) -> tuple[np.ndarray, dict[str, tuple[np.ndarray, np.ndarray]]]:
    r"""Pair distribution function of each pair of elements, and how many neighbours lie within a distance.

    .. math:: g_{ab}(r) = \left\langle \frac{V}{N_a N_b} \frac{n_{ab}(r)}{v(r)} \right\rangle, \qquad
              c_{ab}(r) = \left\langle \frac{1}{N_a} \sum_{r' \le r} n_{ab}(r') \right\rangle

    with the number :math:`n_{ab}` of ordered pairs in a shell of volume :math:`v = \tfrac{4}{3} \pi (r_+^3 - r_-^3)`,
    the volume :math:`V` of the cell and the numbers :math:`N_a, N_b` of atoms. It tends to 1 in a liquid (for equal
    elements to 1 - 1/N).

    Args:
        frames: structures, periodic in three directions, of the same atoms.
        reach: largest distance.
        bins: number of shells.

    Returns:
        The middles of the shells, and g and c by pairs of elements such as ``O-H``: c counts the second around the
        first.

    Units:
        A; g and c have none.

    Source:
        M. P. Allen and D. J. Tildesley, Computer Simulation of Liquids, 2nd ed. (2017), section 8.2.
    """
    edges = np.linspace(0.0, reach, bins + 1)
    shells = 4 / 3 * np.pi * np.diff(edges**3)
    numbers = frames[0].numbers
    elements = sorted(set(numbers.tolist()))
    counts = {z: int((numbers == z).sum()) for z in elements}
    found = {(a, b): np.zeros((2, bins)) for a in elements for b in elements}
    for frame in frames:
        pos, cell = torch.tensor(frame.positions), torch.tensor(frame.cell.array)
        pairs = neighbor_list(pos, reach, cell=cell, pbc=torch.ones(3, dtype=torch.bool))
        source, target = pairs.edge_index
        distances = (pos[source] + pairs.shifts.double() @ cell - pos[target]).norm(dim=1).numpy()
        first, second = numbers[target.numpy()], numbers[source.numpy()]
        for (a, b), sums in found.items():
            histogram = np.histogram(distances[(first == a) & (second == b)], edges)[0]
            sums[0] += frame.get_volume() * histogram / (counts[a] * counts[b] * shells)
            sums[1] += histogram.cumsum() / counts[a]
    curves = {
        f"{chemical_symbols[a]}-{chemical_symbols[b]}": (sums[0] / len(frames), sums[1] / len(frames))
        for (a, b), sums in found.items()
        if a <= b
    }
    return 0.5 * (edges[1:] + edges[:-1]), curves
