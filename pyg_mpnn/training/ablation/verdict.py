"""Is a difference larger than what the seeds do?"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from scipy.special import stdtrit

CONFIDENCE = 0.95
FASTER = 0.95  # a ratio of times below it, or above its inverse, is more than the noise of timing


@dataclass(frozen=True)
class Difference:
    """A mean difference with its interval.

    Args:
        mean: Mean of the differences.
        half_width: Half the width of the 95 % interval; None with one seed, where none can be given.
        seeds: Number of seeds in it.
    """

    mean: float
    half_width: float | None
    seeds: int

    @property
    def separable(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.half_width is not None and abs(self.mean) > self.half_width

    def __str__(self) -> str:
        width = "(one seed)" if self.half_width is None else f"± {self.half_width:.1f}"
        return f"{self.mean:+.1f} {width}"


def paired_difference(values: Mapping[int, float], reference: Mapping[int, float]) -> Difference | None:
    r"""Mean of the differences at equal seeds, with the 95 % interval of Student's t.

    .. math:: \bar d \pm t_{0.975, n-1} \, s_d / \sqrt n

    Equal seeds have the same split and order of structures, which therefore cancel. Of twenty such intervals one leaves
    out the true value by chance.

    Args:
        values: By seed.
        reference: By seed.

    Returns:
        The difference; None without a common seed.

    Units:
        those of the values.

    Source:
        Student, Biometrika 6, 1 (1908), the paired test.

    Example:
        >>> print(paired_difference({0: 3.0, 1: 3.2, 2: 3.1}, {0: 2.0, 1: 2.1, 2: 2.2}))
        +1.0 ± 0.2
    """
    differences = [values[seed] - reference[seed] for seed in values if seed in reference]
    if not differences:
        return None
    mean, count = statistics.fmean(differences), len(differences)
    if count == 1:
        return Difference(mean, None, 1)
    quantile = float(stdtrit(count - 1, 0.5 + CONFIDENCE / 2))
    return Difference(mean, quantile * statistics.stdev(differences) / math.sqrt(count), count)


def describe(error: Difference | None, time_ratio: float | None) -> str:
    """A verdict in words on a variant, seen from the reference.

    Args:
        error: Difference of the errors, variant less reference.
        time_ratio: Time of the variant over that of the reference.

    Returns:
        One phrase.
    """
    if error is None:
        return "not run"
    if time_ratio is None:
        pace = "time not measured"
    elif time_ratio < FASTER:
        pace = f"faster (x {time_ratio:.2f})"
    else:
        pace = f"slower (x {time_ratio:.2f})" if time_ratio > 1 / FASTER else "as fast"
    if error.half_width is None:
        return f"one seed, no verdict; {pace}"
    if not error.separable:
        return f"errors not separable; {pace}"
    return f"{'lower' if error.mean < 0 else 'higher'} error; {pace}"
