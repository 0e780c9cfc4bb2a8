"""How well a dynamics conserves the total energy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = ["EnergyDrift", "energy_drift"]


class EnergyDrift(NamedTuple):
    """How well a dynamics without a thermostat conserves the total energy.

    Args:
        slope: of the straight line fitted to the energy.
        slope_error: standard error of the slope.
        fluctuation: root mean square of the energy about the line.
    """

    slope: float
    slope_error: float
    fluctuation: float


def energy_drift(time: np.ndarray, energy: np.ndarray, blocks: int = 10) -> EnergyDrift:
    r"""Fit a straight line to the total energy of a dynamics.

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
    return EnergyDrift(float(slope), float(error), float(np.sqrt((about_line**2).mean())))
