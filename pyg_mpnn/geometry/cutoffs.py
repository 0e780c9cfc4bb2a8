"""One to three nested cutoffs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from numbers import Real


def as_cutoffs(cutoff: float | Sequence[float]) -> tuple[float, ...]:
    """Check one cutoff, or two or three increasing ones, and return them as a tuple.

    Args:
        cutoff: one radius or two to three increasing radii, positive and finite.

    Returns:
        The radii as plain floats.

    Units:
        A.

    Raises:
        TypeError: an entry is not a number.
        ValueError: an entry is not positive and finite, the radii do not increase, there are none or more than three.

    Example:
        >>> as_cutoffs(5.0), as_cutoffs([3.0, 5.0])
        ((5.0,), (3.0, 5.0))
    """
    cutoffs = tuple(cutoff) if isinstance(cutoff, Sequence) and not isinstance(cutoff, str) else (cutoff,)
    for value in cutoffs:
        if not isinstance(value, Real) or isinstance(value, bool):
            raise TypeError(f"'cutoff' must be a number (in A), got {value!r}: pass for example 5.0.")
        if not 0.0 < value < math.inf:
            raise ValueError(f"'cutoff' must be positive and finite (in A), got {value}: pass for example 5.0.")
    if not 1 <= len(cutoffs) <= 3:
        raise ValueError(f"'cutoff' must hold one to three radii, got {len(cutoffs)}: pass for example (3.0, 5.0).")
    if any(small >= large for small, large in pairwise(cutoffs)):
        raise ValueError(f"'cutoff' must increase strictly, got {cutoffs}: sort the radii, each once.")
    return tuple(float(value) for value in cutoffs)


def as_single_cutoff(cutoff: float) -> float:
    """Check one cutoff: as :func:`as_cutoffs`, but several radii are an error."""
    cutoffs = as_cutoffs(cutoff)
    if len(cutoffs) != 1:
        raise ValueError(f"'cutoff' must be a single radius (in A), got {cutoff}: pass the largest one.")
    return cutoffs[0]
