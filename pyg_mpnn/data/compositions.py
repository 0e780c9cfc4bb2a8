"""For which compositions a potential knows total energies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

Composition = Mapping[int, int]
"""Number of atoms of each element, by atomic number."""


def independent(compositions: Iterable[Composition]) -> list[dict[int, int]]:
    """Compositions of which all others are combinations, the first of them that do.

    Args:
        compositions: any number of compositions.

    Returns:
        as many as the matrix of compositions has ranks.

    Example:
        >>> independent([{1: 2, 8: 1}, {1: 4, 8: 2}, {8: 2}, {1: 2, 8: 2}])
        [{1: 2, 8: 1}, {8: 2}]
    """
    kept: list[dict[int, int]] = []
    for composition in dict.fromkeys(tuple(sorted(of.items())) for of in compositions):
        if not combines(kept, dict(composition)):
            kept.append(dict(composition))
    return kept


def combines(known: Sequence[Composition], composition: Composition) -> bool:
    """Whether a composition is a linear combination of others.

    Args:
        known: the others.
        composition: the composition.

    Returns:
        whether energies that are known for the others say anything about its energy.

    Example:
        >>> ethanol, water = {1: 6, 6: 2, 8: 1}, {1: 2, 8: 1}
        >>> combines([ethanol], {1: 12, 6: 4, 8: 2}), combines([ethanol], water)
        (True, False)
        >>> combines([ethanol, water], {1: 4, 6: 2})  # ethylene: ethanol less water
        True
    """
    elements = sorted(set(composition).union(*known))
    if not known:
        return not any(composition.values())
    matrix = np.array([[of.get(element, 0) for element in elements] for of in known], dtype=np.float64)
    target = np.array([composition.get(element, 0) for element in elements], dtype=np.float64)
    solution = np.linalg.lstsq(matrix.T, target, rcond=None)[0]
    return bool(np.abs(solution @ matrix - target).max() < 1e-6 * max(1.0, target.max()))
