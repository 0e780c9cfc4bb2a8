from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from pyg_mpnn.training.ablation import Difference, paired_difference
from pyg_mpnn.training.ablation.verdict import describe


def test_interval_is_that_of_the_paired_t_test() -> None:
    generator = np.random.default_rng(0)
    one, other = generator.normal(5, 1, 4), generator.normal(4, 1, 4)
    found = paired_difference(dict(enumerate(one)), dict(enumerate(other)))
    interval = stats.ttest_rel(one, other).confidence_interval(0.95)
    assert found is not None
    assert found.half_width is not None
    assert [found.mean - found.half_width, found.mean + found.half_width] == pytest.approx(
        [interval.low, interval.high]
    )


def test_interval_holds_the_true_difference_as_often_as_it_says() -> None:
    """And separates a difference of zero in one of twenty cases."""
    generator = np.random.default_rng(1)
    separated = 0
    for _ in range(2000):
        common, noise = generator.normal(0, 5, 3), generator.normal(0, 1, (2, 3))
        found = paired_difference(dict(enumerate(common + noise[0])), dict(enumerate(common + noise[1])))
        assert found is not None
        separated += found.separable
    assert 0.03 < separated / 2000 < 0.07


def test_only_equal_seeds_are_compared() -> None:
    found = paired_difference({0: 1.0, 5: 100.0}, {0: 3.0, 1: 0.0})
    assert found == Difference(-2.0, None, 1)
    assert not found.separable
    assert paired_difference({0: 1.0}, {1: 1.0}) is None


@pytest.mark.parametrize(
    ("difference", "ratio", "text"),
    [
        (Difference(-2.0, 1.0, 3), 1.5, "lower error; slower (x 1.50)"),
        (Difference(2.0, 1.0, 3), 0.5, "higher error; faster (x 0.50)"),
        (Difference(2.0, 3.0, 3), 1.01, "errors not separable; as fast"),
        (Difference(2.0, None, 1), None, "one seed, no verdict; time not measured"),
        (None, 1.0, "not run"),
    ],
)
def test_verdict_says_what_the_numbers_say(difference: Difference | None, ratio: float | None, text: str) -> None:
    assert describe(difference, ratio) == text
