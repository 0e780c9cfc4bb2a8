from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from pyg_mpnn.training.ablation import Difference, paired_difference
from pyg_mpnn.training.ablation.summary import block_verdict, describe, summarize


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


def test_rows_hold_the_cells(folder: Path) -> None:
    rows = {row.name: row for row in summarize(folder)}
    assert list(rows) == ["reference", "attention softmax", "l_max 1", "l_max 3"]
    assert rows["l_max 3"].forces == {0: 8.0, 1: 9.1, 2: 9.9}
    difference = rows["l_max 3"].difference(rows["reference"])
    assert difference is not None
    assert difference.mean == pytest.approx(-2.0)
    assert rows["l_max 3"].verdict(rows["reference"]) == "lower error; slower (x 2.00)"
    assert rows["l_max 1"].verdict(rows["reference"]) == "errors not separable; faster (x 0.80)"


def test_block_verdict_puts_each_variant_where_it_belongs(folder: Path) -> None:
    rows = summarize(folder)
    text = block_verdict("l_max", rows, rows[0])
    assert text.startswith("l_max: pays: l_max 3 -2.0 ± 0.2 meV/A at 2.00 times the time")
    assert "not separable and cheaper: l_max 1 +0.2 ± 1.7 meV/A at 0.80 times the time" in text
    assert "does not pay: attention softmax" in block_verdict("attention", rows, rows[0])
    assert block_verdict("scales", rows, rows[0]) == "scales: not run."


def test_diverged_cells_are_told(folder: Path) -> None:
    path = folder / "cells" / "l_max-3-seed1.json"
    path.write_text(json.dumps({"variant": "l_max 3", "block": "l_max", "seed": 1, "error": "The loss ..."}))
    rows = {row.name: row for row in summarize(folder)}
    assert rows["l_max 3"].diverged == [1]
    assert rows["l_max 3"].verdict(rows["reference"]).endswith("diverged with seed 1")


def test_cells_with_another_learning_rate_are_told(folder: Path) -> None:
    path = folder / "cells" / "l_max-3-seed1.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "recoveries": 1}))
    rows = {row.name: row for row in summarize(folder)}
    verdict = "lower error; slower (x 2.00); went on with a lower learning rate after a divergence with seed 1"
    assert rows["l_max 3"].verdict(rows["reference"]) == verdict


def test_one_seed_beside_others_gives_no_verdict(folder: Path) -> None:
    for path in (folder / "cells").glob("l_max-1-seed[12].json"):
        path.unlink()
    rows = summarize(folder)
    assert block_verdict("l_max", rows, rows[0]).endswith(
        "one seed, no verdict: l_max 1 +0.5 (one seed) meV/A at 0.80 times the time."
    )


def test_one_seed_gives_no_verdict(folder: Path) -> None:
    for path in (folder / "cells").glob("*-seed[12].json"):
        path.unlink()
    rows = summarize(folder)
    assert "one seed, no verdict; lowest error of a change: l_max 3 -2.0 (one seed)" in block_verdict(
        "l_max", rows, rows[0]
    )
