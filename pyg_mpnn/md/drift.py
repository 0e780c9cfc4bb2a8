"""How well a dynamics conserves what it should, and errors of means, both from blocks of a time series."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.stats import t as student

__all__ = ["EnergyDrift", "block_mean", "energy_drift", "settled", "with_error"]


class EnergyDrift(NamedTuple):
    """How well a dynamics conserves its total energy or, with a thermostat or barostat, what takes its place.

    Args:
        slope: of the straight line fitted to the energy.
        slope_error: standard error of the slope.
        fluctuation: root mean square of the energy about the line.
        blocks: of the fit.
    """

    slope: float
    slope_error: float
    fluctuation: float
    blocks: int = 10

    @property
    def differs_from_zero(self) -> bool:
        """Whether chance alone would give such a slope in less than 5 % of dynamics without drift (Student's t)."""
        return abs(self.slope) > float(student.ppf(0.975, self.blocks - 2)) * self.slope_error

    def in_words(self, scale: float = 1000.0, unit: str = "meV/atom/ns") -> str:
        """The drift, and what its error says about it.

        Args:
            scale: from the unit of the slope to the one in words.
            unit: in words.

        Returns:
            The sentence.

        Example:
            >>> EnergyDrift(0.012, 0.003, 0.3).in_words()
            'drift 12 +- 3 meV/atom/ns: different from zero by 4 times its error'
        """
        slope, error = scale * self.slope, scale * self.slope_error
        if not self.differs_from_zero:
            verdict = "not different from zero"
        elif error > 0:
            verdict = f"different from zero by {abs(slope) / error:.2g} times its error"
        else:
            verdict = "different from zero"
        return f"drift {with_error(slope, error)} {unit}: {verdict}"


def with_error(value: float, error: float) -> str:
    """A number and its error, which has one digit that counts, and the number no more.

    Args:
        value: the number.
        error: its standard error.

    Returns:
        The words.

    Example:
        >>> with_error(542.2, 23.0), with_error(0.99731, 0.06)
        ('540 +- 20', '1.00 +- 0.06')
    """
    if not 1e-6 < error < 1e6:
        return f"{value:.3g} +- {error:.1g}"
    digits = -math.floor(math.log10(error))
    return f"{round(value, digits) + 0.0:.{max(0, digits)}f} +- {round(error, digits):.{max(0, digits)}f}"


def block_mean(values: np.ndarray, blocks: int = 10) -> tuple[float, float]:
    r"""Mean of a time series with its standard error from means of blocks.

    .. math:: \bar x = \frac{1}{B} \sum_b \bar x_b, \qquad
              \Delta^2 = \frac{1}{B (B - 1)} \sum_b (\bar x_b - \bar x)^2

    Args:
        values: samples, evenly in time, at least 2.
        blocks: number of blocks; each sample is one where there are fewer.

    Returns:
        The mean and its error, which means something where a block is longer than the memory of the series.

    Source:
        H. Flyvbjerg and H. G. Petersen, J. Chem. Phys. 91, 461 (1989), with a fixed number of blocks.
    """
    means = np.array([block.mean() for block in np.array_split(values, min(blocks, len(values)))])
    return float(values.mean()), float(means.std(ddof=1) / np.sqrt(len(means)))


def energy_drift(time: np.ndarray, energy: np.ndarray, blocks: int = 10) -> EnergyDrift:
    r"""Fit a straight line to what a dynamics should conserve.

    .. math:: \bar E_b = a + s \, \bar t_b + \epsilon_b, \qquad
              \Delta s^2 = \frac{\sum_b \epsilon_b^2}{(B - 2) \sum_b (\bar t_b - \bar t)^2}

    with the means :math:`\bar E_b, \bar t_b` of the energy and the time over :math:`B` consecutive blocks and the slope
    :math:`s`. The energy errors of neighbouring steps are not independent (they follow the bond vibrations), those of
    blocks longer than a vibration nearly are: hence the fit to blocks, without which the error would mean nothing.

    Args:
        time: of the samples, rising evenly.
        energy: total energy at these times.
        blocks: number of blocks, at least 3. With fewer samples than blocks each sample is a block.

    Returns:
        The slope, its standard error, and the fluctuation of all samples about the line.

    Shapes:
        time and energy: one axis, equally long, at least 3 samples.

    Units:
        any; the slope is in units of the energy per unit of the time.

    Raises:
        ValueError: if there are fewer than 3 samples or blocks, or the lengths differ.

    Source:
        linear regression on block means: H. Flyvbjerg and H. G. Petersen, J. Chem. Phys. 91, 461 (1989), for the
        blocks; the number of blocks is fixed here, not searched for.
    """
    if min(len(time), blocks) < 3 or len(time) != len(energy):
        raise ValueError(
            f"'time' and 'energy' must have the same length and at least 3 samples and 3 'blocks', "
            f"got {len(time)}, {len(energy)} and {blocks}"
        )
    t = np.array([block.mean() for block in np.array_split(time, min(blocks, len(time)))])
    e = np.array([block.mean() for block in np.array_split(energy, min(blocks, len(time)))])
    spread = ((t - t.mean()) ** 2).sum()
    slope = ((t - t.mean()) * (e - e.mean())).sum() / spread
    residuals = e - e.mean() - slope * (t - t.mean())
    error = np.sqrt((residuals**2).sum() / (len(t) - 2) / spread)
    about_line = energy - energy.mean() - slope * (time - time.mean())
    return EnergyDrift(float(slope), float(error), float(np.sqrt((about_line**2).mean())), len(t))


def settled(time: np.ndarray, values: np.ndarray) -> bool:
    """Whether a time series has no trend that its scatter could not make: its mean has an error only then.

    Args:
        time: of the samples, rising evenly.
        values: the samples.

    Returns:
        False where the slope of a line through block means is more than 5 times its error; True for fewer than 10.

    Example:
        >>> time, noise = np.arange(100.0), np.sin(np.arange(100.0) ** 2)
        >>> settled(time, noise), settled(time, noise + 0.1 * time)
        (True, False)
    """
    if len(values) < 10:
        return True
    drift = energy_drift(time, values)
    return abs(drift.slope) <= 5 * drift.slope_error
