from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from pyg_mpnn.data import ethanol
from pyg_mpnn.models import LastLayer
from pyg_mpnn.training import (
    Deviations,
    TrainingResult,
    TrainingSettings,
    calibrate,
    deviations,
    fit_last_layer,
    reliability,
)
from pyg_mpnn.training.uncertainty import plot_reliability, reliability_table

Settings = Callable[..., TrainingSettings]


def test_error_bars_are_as_large_as_the_errors_that_set_them(finished: TrainingResult, frames: list[Data]) -> None:
    model = fit_last_layer(finished.potential, frames, num_forces=4)
    found = calibrate(model, ethanol("test")[:16])
    for name, judged in reliability(model, found).items():
        assert judged.rms_std == pytest.approx(judged.rmse, rel=1e-6)
        assert judged.factor == model.calibration[f"{name}_std"]
    again = deviations(model, ethanol("test")[:16])
    np.testing.assert_allclose(again["forces"].stds, found["forces"].stds, rtol=1e-5)


def test_a_structure_unlike_all_others_has_a_larger_error_bar(finished: TrainingResult, frames: list[Data]) -> None:
    model = fit_last_layer(finished.potential, frames, num_forces=12)
    known, strange = frames[0].clone(), frames[0].clone()
    strange.pos = 1.15 * strange.pos
    assert float(model(strange).energy_std) > 3 * float(model(known).energy_std)


def test_last_layer_knows_the_directions_of_its_training(finished: TrainingResult, frames: list[Data]) -> None:
    """With the observations the error bars of the training structures fall: the control is a fit to one of them."""
    all_, one = (fit_last_layer(finished.potential, part, num_forces=12) for part in (frames, frames[:1]))
    bars = [np.mean([float(model(frame).energy_std) for frame in frames[1:]]) for model in (all_, one)]
    assert bars[0] < 0.8 * bars[1]


def test_judgement_of_normal_errors() -> None:
    """Errors drawn as the error bars say are covered as they should be, and others are not."""
    rng = np.random.default_rng(0)
    stds = rng.uniform(0.1, 1.0, 20000)
    model = LastLayer.__new__(LastLayer)
    torch.nn.Module.__init__(model)
    model.register_buffer("factors", torch.ones(4, dtype=torch.float64))
    right = reliability(model, {"forces": Deviations(rng.normal(0, stds), stds)})["forces"]
    assert right.coverage == pytest.approx({"50%": 0.5, "80%": 0.8, "95%": 0.95}, abs=0.01)
    assert right.rank_correlation == pytest.approx(0.45, abs=0.05)
    wrong = reliability(model, {"forces": Deviations(rng.normal(0, 0.5, 20000), stds / 2)})["forces"]
    assert wrong.coverage["95%"] < 0.85
    assert abs(wrong.rank_correlation) < 0.03
    assert math.isnan(reliability(model, {"energy": Deviations(stds[:1], stds[:1])})["energy"].rank_correlation)
    assert "forces (meV/A)   20000" in reliability_table({"forces": right})


def test_picture(drawn: None, tmp_path: Path) -> None:
    stds = np.linspace(0.01, 0.1, 60)
    found = {"energy": Deviations(stds, stds), "forces": Deviations(2 * stds, stds)}
    plot_reliability(found, tmp_path / "reliability.png", "60 structures")
    assert (tmp_path / "reliability.png").stat().st_size > 10_000


def test_what_has_no_reference_is_no_observation(finished: TrainingResult, frames: list[Data]) -> None:
    """Half of the structures have energies alone, half forces alone; places of the former change what is observed."""
    part = [frame.clone() for frame in frames]
    for frame in part[6:]:
        del frame.forces
    for frame in part[:6]:
        del frame.energy
    mixed = fit_last_layer(finished.potential, part)
    assert not torch.allclose(mixed.root, fit_last_layer(finished.potential, frames).root)
    again = fit_last_layer(finished.potential, part[:6] + part[6:], num_forces=6)  # no more than have forces
    torch.testing.assert_close(mixed.root, again.root)
    with pytest.raises(ValueError, match="must have energies and forces to fit a last layer"):
        fit_last_layer(finished.potential, part[6:])
