"""Checks of numbers that a user gives: sizes and counts, lengths and rates. A wrong one is an error that names it."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any


def check_whole(least: int = 1, **values: Any) -> None:
    """Refuse what is no whole number, or too small a one.

    Args:
        least: the smallest that is right.
        **values: arguments by name; ``True`` and 2.0 are no whole numbers.

    Raises:
        ValueError: the first that is wrong, by its name.

    Example:
        >>> check_whole(channels=8, heads=True)
        Traceback (most recent call last):
            ...
        ValueError: 'heads' must be a whole number of at least 1, got True
    """
    for name, value in values.items():
        if not isinstance(value, Integral) or isinstance(value, bool):
            raise ValueError(f"'{name}' must be a whole number of at least {least}, got {value!r}")
        if value < least:
            raise ValueError(f"'{name}' must be at least {least}, got {value}")


def check_positive(unit: str = "", **values: Any) -> None:
    """Refuse what is no positive, finite number.

    Args:
        unit: that of the numbers, for the message.
        **values: arguments by name; ``True`` is no number.

    Raises:
        ValueError: the first that is wrong, by its name.

    Example:
        >>> check_positive("A", cutoff=float("nan"))
        Traceback (most recent call last):
            ...
        ValueError: 'cutoff' must be positive and finite (in A), got nan
    """
    for name, value in values.items():
        if not isinstance(value, Real) or isinstance(value, bool) or not 0 < float(value) < math.inf:
            raise ValueError(f"'{name}' must be positive and finite{f' (in {unit})' if unit else ''}, got {value!r}")
