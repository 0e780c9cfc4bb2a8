from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter

from pyg_mpnn.md import energy_drift
from pyg_mpnn.md.drift import block_mean, with_error


def test_drift_of_a_line_is_exact() -> None:
    time = np.linspace(0.0, 2.0, 401)
    drift = energy_drift(time, 7.0 - 0.3 * time)
    assert drift.slope == pytest.approx(-0.3, rel=1e-12)
    assert drift.slope_error == pytest.approx(0.0, abs=1e-12)
    assert drift.fluctuation == pytest.approx(0.0, abs=1e-12)


def test_drift_equals_least_squares_when_each_sample_is_a_block() -> None:
    rng = np.random.default_rng(0)
    time, energy = np.arange(10.0), rng.normal(size=10)
    (slope, _), covariance = np.polyfit(time, energy, 1, cov=True)
    drift = energy_drift(time, energy, blocks=10)
    assert drift.slope == pytest.approx(slope, rel=1e-10)
    assert drift.slope_error == pytest.approx(np.sqrt(covariance[0, 0]), rel=1e-10)


def test_vibration_is_fluctuation_not_drift() -> None:
    time = np.linspace(0.0, 2.0, 4001)
    drift = energy_drift(time, np.sin(2 * np.pi * time / 0.01))  # 100 C-H vibrations per 1 ps
    assert abs(drift.slope) < 0.01
    assert drift.fluctuation == pytest.approx(np.sqrt(0.5), rel=1e-3)


def test_error_covers_the_scatter_of_slopes_with_correlated_noise() -> None:
    # Noise correlated over 20 samples: the slopes of 400 series scatter as the block errors say, within 20 %;
    # an error that takes the samples for independent is too small by a factor of about sqrt(40).
    rng = np.random.default_rng(0)
    time = np.arange(4000.0)
    decay = np.exp(-1 / 20.0)
    noise = rng.normal(size=(400, 4000))
    noise = lfilter([1.0], [1.0, -decay], noise, axis=1)
    fits = [energy_drift(time, row) for row in noise]
    scatter = np.std([fit.slope for fit in fits])
    typical = np.sqrt(np.mean([fit.slope_error**2 for fit in fits]))
    naive = np.sqrt(np.mean([fit.fluctuation**2 for fit in fits]) / 4000) / time.std()
    assert typical == pytest.approx(scatter, rel=0.2)
    assert naive < 0.3 * scatter


@pytest.mark.parametrize(("samples", "energies", "blocks"), [(2, 2, 10), (5, 4, 10), (5, 5, 2)])
def test_too_few_samples(samples: int, energies: int, blocks: int) -> None:
    with pytest.raises(ValueError, match=r"at least 3 samples and 3 'blocks', got"):
        energy_drift(np.arange(float(samples)), np.zeros(energies), blocks=blocks)


@pytest.mark.parametrize("drifting", [False, True])
def test_drift_is_judged_by_its_error(drifting: bool) -> None:
    """Noise alone is called a drift in one of 20 series; a slope of ten errors always."""
    rng = np.random.default_rng(0)
    time = np.linspace(0.0, 1.0, 200)
    slope = 10 * np.sqrt(12 / 200) if drifting else 0.0
    found = [energy_drift(time, slope * time + rng.normal(size=200)) for _ in range(300)]
    share = np.mean([drift.differs_from_zero for drift in found])
    assert (share > 0.99) if drifting else (0.02 < share < 0.09)
    assert ("not different from zero" in found[0].in_words()) == (not found[0].differs_from_zero)


def test_mean_of_blocks() -> None:
    mean, error = block_mean(np.array([1.0, 3.0, 2.0, 4.0]), blocks=2)
    assert (mean, error) == (2.5, 0.5)


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (143.2, 4.6, "143 +- 5"),
        (-0.0123, 0.0087, "-0.012 +- 0.009"),
        (3.0, 0.0, "3 +- 0"),
        (12.0, 96.0, "10 +- 100"),
        (-3.0, 6e3, "0 +- 6000"),
    ],
)
def test_number_with_its_error(value: float, error: float, words: str) -> None:
    assert with_error(value, error) == words
