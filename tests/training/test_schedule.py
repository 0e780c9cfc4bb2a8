from __future__ import annotations

import math

import pytest

from pyg_mpnn.training.schedule import learning_rate_factor, weight_at


def test_factor_rises_linearly_then_falls_along_a_cosine_to_zero() -> None:
    assert learning_rate_factor(0.01, 0.02) == pytest.approx(0.5)
    assert learning_rate_factor(0.02, 0.02) == pytest.approx(1.0)
    assert learning_rate_factor(0.02 + 0.98 / 4, 0.02) == pytest.approx(0.5 * (1 + math.sqrt(0.5)))
    assert learning_rate_factor(1.0, 0.02) == pytest.approx(0.0, abs=1e-15)


def test_factor_stays_in_range_outside_the_training() -> None:
    assert learning_rate_factor(-0.5, 0.1) == 0.0
    assert learning_rate_factor(1.5, 0.1) == pytest.approx(0.0, abs=1e-15)


def test_factor_without_warmup_starts_at_one() -> None:
    assert learning_rate_factor(0.0, 0.0) == 1.0


def test_weight_moves_geometrically_in_the_last_quarter() -> None:
    assert weight_at(0.0, 0.1, 10.0) == weight_at(0.75, 0.1, 10.0) == pytest.approx(0.1)
    assert weight_at(0.85, 0.1, 10.0) == pytest.approx(1.0)
    assert weight_at(0.95, 0.1, 10.0) == weight_at(1.2, 0.1, 10.0) == pytest.approx(10.0)
    assert weight_at(0.85, 4.0, 1.0) == pytest.approx(2.0)


def test_weight_without_a_second_value_stays() -> None:
    assert weight_at(0.9, 0.0, None) == 0.0
