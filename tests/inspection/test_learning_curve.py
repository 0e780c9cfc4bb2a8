from __future__ import annotations

import numpy as np
import pytest

from pyg_mpnn.data import ethanol
from pyg_mpnn.inspection import extrapolate, learning_curve
from pyg_mpnn.inspection.learning_curve import describe_curve

COUNTS = [100, 200, 400, 800]


def test_a_power_law_is_continued() -> None:
    slope, middle, low, high, falls = extrapolate(COUNTS, [1000 / n**0.5 for n in COUNTS])
    assert (slope, middle) == (pytest.approx(-0.5), pytest.approx(25.0))
    assert low == pytest.approx(high)
    assert falls


def test_intervals_hold_what_they_say() -> None:
    draw = np.random.default_rng(0)
    inside = 0
    for _ in range(400):
        *known, new = 1000 / np.array([*COUNTS, 1600.0]) ** 0.5 * np.exp(0.1 * draw.normal(size=5))
        _, _, low, high, _ = extrapolate(COUNTS, known)
        inside += low < new < high
    assert inside / 400 == pytest.approx(0.68, abs=0.07)


def test_text_says_what_more_structures_bring_or_that_it_does_not_know() -> None:
    falling = describe_curve(COUNTS, [100.0, 71.0, 50.0, 35.5], 10.0, 40, "forces MAE in meV/A", [24.0, 23.0])
    assert falling.severity == "ok"
    assert "800 more structures would take them from 35.5 to about 25.1" in falling.finding
    flat = describe_curve(COUNTS, [100.0, 110.0, 95.0, 104.0], 10.0, 40, "forces MAE in meV/A", [24.0, 23.0])
    assert "The fit says NOTHING: errors do not fall" in flat.finding
    short = describe_curve(COUNTS, [100.0, 71.0, 50.0, 35.5], 34.0, 2, "forces MAE in meV/A", [24.0, 23.0])
    assert "time is what lacks" in short.finding
    assert (flat.severity, short.severity) == ("note", "note")


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_curve_is_trained() -> None:
    assert "Cannot tell: 30 structures" in learning_curve(ethanol("train")[:30], [3.0]).finding
    found = learning_curve(ethanol("train")[:45], [3.0], minutes=0.05)
    each = found.numbers["seconds_each"]
    assert each[0] == pytest.approx(1.0, abs=0.01)
    assert all(0.25 <= value < each[0] for value in each[1:]), (
        "what the first took beside its steps comes off the others"
    )
    assert found.numbers["structures"] == [9, 18, 36]
    assert all(20 < error < 5000 for error in found.numbers["errors"])
    assert 20 < found.numbers["training_error"] < 5000
