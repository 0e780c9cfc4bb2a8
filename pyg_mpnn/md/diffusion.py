"""Mean squared displacement and diffusion coefficient, with its error."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

__all__ = ["Diffusion", "diffusion", "mean_squared_displacement"]

_PARTS = 4  # of the trajectory, whose scatter is the error


class Diffusion(NamedTuple):
    """A diffusion coefficient and its standard error in A^2/ps (1 A^2/ps is 1e-4 cm^2/s)."""

    coefficient: float
    error: float
    largest: float
    """Mean squared displacement at the end of the fit, in A^2."""

    @property
    def is_seen(self) -> bool:
        """Whether it differs from zero by twice its error and atoms have moved by more than they vibrate (1 A)."""
        return self.coefficient > 2 * self.error and self.largest > 1.0


def mean_squared_displacement(
    positions: Float[np.ndarray, "frames nodes 3"],
) -> tuple[Int[np.ndarray, " lags"], Float[np.ndarray, " lags"]]:
    r"""Mean squared displacement over starts, at lags up to half the length.

    .. math:: \mathrm{msd}(k) = \left\langle |\mathbf{r}_i(t + k) - \mathbf{r}_i(t)|^2 \right\rangle_{i, t}

    At most 100 lags and 1,000 starts, evenly: more of them hold little more, as neighbouring ones are nearly the same.

    Args:
        positions: unwrapped, evenly in time.

    Returns:
        Lags in frames, from 0, and the displacement at each.

    Shapes:
        positions (frames, nodes, 3), results (lags,).

    Units:
        A in, A^2 out.

    Source:
        D. Frenkel and B. Smit, Understanding Molecular Simulation, 2nd ed. (2002), section 4.4.
    """
    size = len(positions)
    lags = np.unique(np.linspace(0, size // 2, 100).round().astype(int))
    stride = -(-size // 1000)
    values = [((positions[k::stride] - positions[: size - k : stride]) ** 2).sum(axis=2).mean() for k in lags]
    return lags, np.array(values)


def diffusion(positions: Float[np.ndarray, "frames nodes 3"], spacing: float) -> Diffusion:
    r"""Diffusion coefficient from the slope of the mean squared displacement.

    .. math:: \mathrm{msd}(t) = 6 D t + c

    fitted between a fifth of the largest lag, where the ballistic start is over, and the largest lag. The error is the
    standard error over four parts of the trajectory.

    Args:
        positions: unwrapped, evenly in time, without motion of the whole.
        spacing: time from one frame to the next.

    Returns:
        The coefficient, its error, and the displacement that it rests on.

    Shapes:
        positions (frames, nodes, 3).

    Units:
        A, ps, A^2/ps.

    Source:
        A. Einstein, Ann. Phys. 322, 549 (1905).
    """
    whole, msd = _slope(positions, spacing)
    parts = [_slope(part, spacing)[0] for part in np.array_split(positions, _PARTS)]
    return Diffusion(whole, float(np.std(parts, ddof=1) / np.sqrt(_PARTS)), float(msd[-1]))


def _slope(positions: np.ndarray, spacing: float) -> tuple[float, np.ndarray]:
    lags, msd = mean_squared_displacement(positions)
    late = lags >= lags[-1] // 5
    return float(np.polyfit(spacing * lags[late], msd[late], 1)[0] / 6), msd
