"""Atoms that do not move: from the file and from the flag, and the degrees of freedom that they take away."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.constraints import FixAtoms, FixCartesian
from ase.data import atomic_numbers

__all__ = ["describe_constraints", "fix_atoms", "free_coordinates", "removed_degrees"]


def fix_atoms(atoms: Atoms, words: Sequence[str] | None) -> None:
    """Fix atoms of a structure in place, beside the constraints that it has.

    Args:
        atoms: the structure.
        words: indices such as 3, ranges such as 0-7 (both ends included), elements such as element=Cu; none where None.

    Raises:
        ValueError: a word that is none of these, an atom or element that the structure does not have, or no atom left
            that moves.

    Example:
        >>> from ase.build import molecule
        >>> ethanol = molecule("CH3CH2OH")
        >>> fix_atoms(ethanol, ["0-1", "element=O"])
        >>> ethanol.constraints
        [FixAtoms(indices=[0, 1, 2])]
    """
    if words is None:
        return
    chosen: set[int] = set()
    for word in words:
        chosen |= _indices(atoms, word)
    if len(chosen) == len(atoms):
        raise ValueError(f"'fix' must leave an atom that moves, got all {len(atoms)}: {' '.join(words)}")
    atoms.set_constraint([*atoms.constraints, FixAtoms(sorted(chosen))])


def removed_degrees(atoms: Atoms) -> int:
    """Degrees of freedom that the constraints take away, as ASE counts them; an atom that is fixed twice counts once.

    Args:
        atoms: the structure.

    Returns:
        Their number.

    Raises:
        ValueError: ASE does not know it for one of the constraints.
    """
    total = 3 * len(atoms) - int(free_coordinates(atoms, others=True).sum())
    for constraint in atoms.constraints:
        if isinstance(constraint, FixAtoms | FixCartesian):
            continue
        try:
            total += int(constraint.get_removed_dof(atoms))
        except NotImplementedError as error:
            raise ValueError(
                f"'structure' has a constraint whose degrees of freedom ASE does not count, so that a temperature has "
                f"no meaning: {type(constraint).__name__}"
            ) from error
    return total


def free_coordinates(atoms: Atoms, *, others: bool = False) -> np.ndarray:
    """Which Cartesian coordinates move.

    Args:
        atoms: the structure, with the constraints FixAtoms and FixCartesian.
        others: whether other constraints are passed over.

    Returns:
        True where a coordinate moves.

    Shapes:
        ``(nodes, 3)``.

    Raises:
        ValueError: another constraint, which fixes no coordinates.
    """
    free = np.ones((len(atoms), 3), dtype=bool)
    for constraint in atoms.constraints:
        if isinstance(constraint, FixAtoms):
            free[constraint.index] = False
        elif isinstance(constraint, FixCartesian):
            free[constraint.index] &= ~np.asarray(constraint.mask)
        elif not others:
            raise ValueError(
                f"'structure' must have no constraints but FixAtoms and FixCartesian here, got {constraint}: remove "
                f"it with atoms.set_constraint()"
            )
    return free


def describe_constraints(atoms: Atoms) -> str:
    """Constraints in words.

    Args:
        atoms: the structure.

    Returns:
        The words; empty where there are none.
    """
    if not atoms.constraints:
        return ""
    fixed = (~free_coordinates(atoms, others=True)).all(axis=1)
    texts = [f"{int(fixed.sum())} of {len(atoms)} atoms fixed"] if fixed.any() else []
    texts += [str(of) for of in atoms.constraints if not isinstance(of, FixAtoms)]
    return f"constraints: {', '.join(texts)}"


def _indices(atoms: Atoms, word: str) -> set[int]:
    """Indices of the atoms that a word names."""
    size = len(atoms)
    if match := re.fullmatch(r"(\d+)(?:-(\d+))?", word):
        first, last = int(match[1]), int(match[2] or match[1])
        if first <= last < size:
            return set(range(first, last + 1))
        raise ValueError(f"'fix' must be indices from 0 to {size - 1}, got {word!r}")
    if match := re.fullmatch(r"element=(\w+)", word):
        found = set(np.flatnonzero(atoms.numbers == atomic_numbers.get(match[1], -1)).tolist())
        if found:
            return found
        raise ValueError(f"'fix' must name an element of {atoms.get_chemical_formula()}, got {word!r}")
    raise ValueError(f"'fix' must be indices (3), ranges (0-7) or elements (element=Cu), got {word!r}")
