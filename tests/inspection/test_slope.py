from __future__ import annotations

import numpy as np
import pytest

from pyg_mpnn.inspection.slope import ENERGY_OVER_FORCE, Slope, fit_slope, name_factor


def test_a_third_of_wild_points_does_not_move_the_line() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=300)
    y = 23.06 * x + 0.1 * rng.normal(size=300)
    y[::3] = 100 * rng.normal(size=100)
    slope = fit_slope(x, y)
    assert slope.value == pytest.approx(23.06, rel=0.02)
    assert slope.low < 23.06 < slope.high
    assert abs((x * y).sum() / (x * x).sum() - 23.06) > abs(slope.value - 23.06), "least squares is moved"
    assert name_factor(slope, ENERGY_OVER_FORCE, 1.3).startswith("energies in kcal/mol beside forces in eV/A")


def test_a_wide_interval_agrees_with_nothing() -> None:
    wide = Slope(1.0, -3.0, 4.0, 5)
    assert not wide.agrees(1.0, 1.3)
    assert not wide.has_sign
    assert name_factor(wide, ENERGY_OVER_FORCE, 1.3) is None


def test_no_line_through_zeros() -> None:
    with pytest.raises(ValueError, match="'x' must not be zero everywhere"):
        fit_slope(np.zeros(3), np.ones(3))
