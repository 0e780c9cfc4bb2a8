"""The factor between two labels that should agree, and the units that such a factor betrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from pyg_mpnn.units import BOHR, HARTREE, KCAL_PER_MOL, KJ_PER_MOL, MEV

__all__ = ["Slope", "fit_slope", "name_factor", "ENERGY_OVER_FORCE", "ENERGY_OVER_STRESS"]

_GPA = 160.21766  # GPa in one eV/A^3

# Energy differences over the work of the forces, both read as eV, where the file had other units.
ENERGY_OVER_FORCE = {
    "energies in kcal/mol beside forces in eV/A": 1 / KCAL_PER_MOL,
    "energies in eV beside forces in kcal/mol/A": KCAL_PER_MOL,
    "energies in hartree beside forces in eV/A": 1 / HARTREE,
    "energies in eV beside forces in hartree/A": HARTREE,
    "energies in eV beside forces in hartree/bohr": HARTREE / BOHR,
    "energies in hartree beside forces in hartree/bohr": 1 / BOHR,
    "positions in bohr, or forces in eV/bohr times the square of it": BOHR,
    "energies in kJ/mol beside forces in eV/A": 1 / KJ_PER_MOL,
    "energies in eV beside forces in kJ/mol/A": KJ_PER_MOL,
    "energies in meV beside forces in eV/A": 1 / MEV,
    "energies in eV beside forces in meV/A": MEV,
    "energies in kcal/mol beside forces in hartree/bohr": HARTREE / BOHR / KCAL_PER_MOL,
    "energies in hartree beside forces in kcal/mol/A": KCAL_PER_MOL / HARTREE,
}
# The same for the work of the stress.
ENERGY_OVER_STRESS = {
    "stress in GPa": 1 / _GPA,
    "stress in kbar": 0.1 / _GPA,
    "stress in hartree/bohr^3": HARTREE / BOHR**3,
    "energies in kcal/mol beside stress in eV/A^3": 1 / KCAL_PER_MOL,
    "energies in hartree beside stress in eV/A^3": 1 / HARTREE,
    "energies in kJ/mol beside stress in eV/A^3": 1 / KJ_PER_MOL,
    "energies in meV beside stress in eV/A^3": 1 / MEV,
}


class Slope(NamedTuple):
    """Slope of a line through the origin with its 95% interval.

    Args:
        value: the slope.
        low: lower end of the interval.
        high: upper end.
        pairs: number of points.
    """

    value: float
    low: float
    high: float
    pairs: int

    @property
    def has_sign(self) -> bool:
        """Whether the interval leaves no doubt about the sign."""
        return self.low * self.high > 0

    def agrees(self, factor: float, within: float) -> bool:
        """Whether the slope is a factor, and the interval is not so wide that it could be anything.

        Args:
            factor: to compare with; its sign counts.
            within: largest ratio, above 1.

        Returns:
            Whether slope and interval are that near.
        """
        ratios = sorted((self.low / factor, self.value / factor, self.high / factor))
        agrees = ratios[1] > 1 / within and ratios[1] < within and ratios[0] > 1 / within**2 and ratios[2] < within**2
        return bool(agrees)


def fit_slope(x: np.ndarray, y: np.ndarray) -> Slope:
    r"""Line through the origin by least absolute deviations: a minority of wild points does not move it.

    .. math:: \min_a \sum_k |y_k - a x_k|

    which is the median of :math:`y_k / x_k` weighted with :math:`|x_k|`. The interval is that of 400 bootstrap samples.

    Args:
        x: abscissae.
        y: ordinates.

    Returns:
        The slope.

    Raises:
        ValueError: there are no points with x other than zero.

    Source:
        textbook; B. Efron, Ann. Statist. 7, 1 (1979) (bootstrap).

    Example:
        >>> import numpy as np
        >>> fit_slope(np.array([1.0, 2.0, 3.0, 4.0]), np.array([2.0, 4.0, 6.0, 99.0])).value
        2.0
    """
    keep = x != 0
    if not keep.any():
        raise ValueError("'x' must not be zero everywhere: a line through the origin has no slope then")
    ratios, weights = y[keep] / x[keep], np.abs(x[keep])
    order = np.argsort(ratios)
    ratios, weights = ratios[order], weights[order]
    counts = np.random.default_rng(0).multinomial(len(ratios), np.full(len(ratios), 1 / len(ratios)), size=400)
    values = [_median(ratios, weights * count) for count in counts]
    low, high = np.quantile(values, [0.025, 0.975])
    return Slope(_median(ratios, weights), float(low), float(high), len(ratios))


def _median(ordered: np.ndarray, weights: np.ndarray) -> float:
    sums = np.cumsum(weights)
    return float(ordered[np.searchsorted(sums, 0.5 * sums[-1])])


def name_factor(slope: Slope, factors: Mapping[str, float], within: float) -> str | None:
    """What the factor betrays, the sign aside.

    Args:
        slope: as fitted.
        factors: names and sizes.
        within: largest ratio to a factor.

    Returns:
        The names of all factors that agree, nearest first; None where there is none.
    """
    sign = -1.0 if slope.value < 0 else 1.0
    found = {name: factor for name, factor in factors.items() if slope.agrees(sign * factor, within)}
    names = sorted(found, key=lambda name: abs(np.log(abs(slope.value) / found[name])))
    return "; or ".join(names) or None
