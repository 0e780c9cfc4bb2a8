"""Are the teacher's forces the gradient of its energy, in one unit, and how exact are they?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms

from pyg_mpnn.inspection.pairs import ENERGY_OVER_FORCE, Slope, name_factor
from pyg_mpnn.learning.teacher import as_written

STEP = 0.01  # A of the whole structure: errors of the fourth order, far below 1 meV/A
_RATTLE = 0.05  # A
_AGREE = 0.05
_SMALL = 0.02  # eV/A along the line, below which a ratio says nothing


def probe_start(start: Atoms, seed: int) -> tuple[Atoms, Atoms]:
    """A structure near the first one, whose forces do not vanish, and the same elsewhere.

    Args:
        start: structure near a minimum.
        seed: of the displacements.

    Returns:
        the structure, and a copy that is moved as a whole.

    Units:
        A.
    """
    rng = np.random.default_rng(seed)
    first, moved = start.copy(), start.copy()
    first.positions += _RATTLE * rng.standard_normal(first.positions.shape)
    moved.positions = first.positions + rng.uniform(0.1, 0.9, 3)
    return as_written(first), as_written(moved)


def probe_line(first: Atoms) -> list[Atoms]:
    """Structures at -2, -1, 1 and 2 steps along the force.

    Args:
        first: structure with forces.

    Returns:
        four structures.

    Units:
        A.
    """
    forces = first.get_forces()
    way = STEP * forces / np.linalg.norm(forces)
    made = []
    for steps in (-2, -1, 1, 2):
        atoms = first.copy()
        atoms.positions += steps * way
        made.append(as_written(atoms))
    return made


def judge_probe(first: Atoms, moved: Atoms, line: Sequence[Atoms]) -> float:
    r"""Compare the force along a line with the energies on it, and with the force elsewhere.

    .. math:: -\frac{dE}{ds} = \frac{8 (E_{-1} - E_1) - (E_{-2} - E_2)}{12 h}

    Args:
        first: labelled structure of :func:`probe_start`.
        moved: its labelled copy.
        line: labelled structures of :func:`probe_line`.

    Returns:
        Noise of the teacher's forces, the larger of what differs along the line and between the copies.

    Units:
        eV/A.

    Raises:
        ValueError: the forces are not the gradient of the energy, for instance for another unit.

    Source:
        textbook (five-point formula).
    """
    forces = first.get_forces()
    given = float(np.linalg.norm(forces))
    two, one, plus_one, plus_two = (atoms.get_potential_energy() for atoms in line)
    slope = (8 * (one - plus_one) - (two - plus_two)) / (12 * STEP)
    ratio = slope / given if given else float("nan")
    if abs(slope - given) > max(_AGREE * given, _SMALL):
        known = name_factor(Slope(ratio, ratio, ratio, 1), ENERGY_OVER_FORCE, 1.1)
        why = f", as of {known}" if known else ""
        why = ": the forces have the wrong sign" if abs(ratio + 1) < _AGREE else why
        raise ValueError(
            "'teacher' must have forces that are minus the gradient of its energy, in eV and A, got an energy that "
            f"falls by {slope:.4g} eV/A along the force on a displaced start structure, and a force of {given:.4g}: a "
            f"ratio of {ratio:.4g}{why}"
        )
    return float(max(abs(slope - given), np.sqrt(np.mean((moved.get_forces() - forces) ** 2))))
