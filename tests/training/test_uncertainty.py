from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from ase.build import bulk
from torch_geometric.data import Data

from pyg_mpnn import Potential
from pyg_mpnn.data import ethanol, to_data
from pyg_mpnn.models import Committee, LastLayer
from pyg_mpnn.training import (
    Deviations,
    TrainingResult,
    TrainingSettings,
    calibrate,
    deviations,
    fit_last_layer,
    reliability,
)
from pyg_mpnn.training.uncertainty import fit_prior, plot_reliability, reliability_table

Settings = Callable[..., TrainingSettings]

TINY = {"hidden_channels": 8, "edge_dim": 8, "channels": 2, "l_max": 1, "num_layers": 1}


def test_error_bars_are_as_large_as_the_errors_that_set_them(finished: TrainingResult, frames: list[Data]) -> None:
    model = fit_last_layer(finished.potential, frames, num_forces=4)
    found = calibrate(model, ethanol("test")[:16])
    calibration = model.calibration
    with pytest.raises(ValueError, match="'frames' must hold at least 10 structures with energies to calibrate"):
        calibrate(model, ethanol("test")[:3])
    assert model.calibration == calibration, "what cannot be calibrated keeps what it had"
    for name, judged in reliability(model, found).items():
        assert judged.rms_std == pytest.approx(judged.rmse, rel=1e-6)
        assert judged.factor == model.calibration[f"{name}_std"].factor
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
    model.register_buffer("priors", torch.zeros(4, 2, dtype=torch.float64))
    right = reliability(model, {"forces": Deviations(rng.normal(0, stds), stds)})["forces"]
    assert right.coverage == pytest.approx({"50%": 0.5, "80%": 0.8, "95%": 0.95}, abs=0.01)
    assert right.rank_correlation == pytest.approx(0.45, abs=0.05)
    wrong = reliability(model, {"forces": Deviations(rng.normal(0, 0.5, 20000), stds / 2)})["forces"]
    assert wrong.coverage["95%"] < 0.85
    assert abs(wrong.rank_correlation) < 0.03
    assert math.isnan(reliability(model, {"energy": Deviations(stds[:1], stds[:1])})["energy"].rank_correlation)
    assert "forces (meV/A)   20000" in reliability_table({"forces": right})


@pytest.mark.usefixtures("unchecked")
def test_structures_whose_forces_are_zero_by_symmetry_may_be_most_of_all() -> None:
    rng = np.random.default_rng(0)
    members = [Potential.from_size("small", **TINY, cutoff=4.0).double() for _ in range(3)]
    for parameter in (parameter for member in members for parameter in member.parameters()):
        torch.nn.init.normal_(parameter, std=0.3)
    frames = []
    for number in range(14):
        crystal = bulk("Cu", cubic=True)
        crystal.set_cell(crystal.cell * (1 + 0.01 * number), scale_atoms=True)
        crystal.rattle(0.05 if number < 4 else 0.0, seed=number)
        frames.append(to_data(crystal))
        frames[-1].energy, frames[-1].forces = torch.tensor([rng.normal()]), torch.tensor(rng.normal(size=(4, 3)))
    model = Committee(*members)
    calibrate(model, frames)
    spread, bars = (of(frames[-1]).forces_std.detach() for of in (Committee(*members), model))
    assert float(spread.max()) < 1e-9
    assert float(bars.min()) > 1e-3


def drawn_spreads(rng: np.random.Generator, prior: float, count: int = 20000) -> tuple[np.ndarray, np.ndarray]:
    """Scales that differ as the prior of usual size 0.02 says, and standard deviations of six numbers of each."""
    scales = 0.02 * np.sqrt(prior / rng.chisquare(prior, count))
    return scales, scales * np.sqrt(rng.chisquare(6, count) / 6)


@pytest.mark.parametrize("prior", [2.0, 5.0, 12.0])
def test_prior_of_drawn_spreads_is_found(prior: float) -> None:
    _, spreads = drawn_spreads(np.random.default_rng(0), prior)
    usual, found = fit_prior(spreads, 6.0)
    assert usual == pytest.approx(0.02, rel=0.02)
    assert found == pytest.approx(prior, rel=0.1)
    other, _ = fit_prior(spreads, 3.0)  # the control: half of the degrees of freedom that the spreads have
    assert other != pytest.approx(0.02, rel=0.05)


def test_prior_is_bounded() -> None:
    """Spreads that are alike leave a quarter to each, wild ones most; those that are zero by symmetry say nothing."""
    rng = np.random.default_rng(0)
    alike = np.sqrt(rng.chisquare(6, 1000) / 6)
    assert fit_prior(alike, 6.0)[1] == 18.0
    assert fit_prior(np.exp(rng.normal(0, 5, 1000)), 6.0)[1] == 1.0
    assert fit_prior(np.exp(rng.normal(0, 5, 1000)), 2.0)[1] == 3.0
    for count in (200, 5000):  # in a perfect crystal most
        for tiny in (0.0, 1e-9):
            assert fit_prior(np.append(alike, np.full(count, tiny)), 6.0) == fit_prior(alike, 6.0)


def test_moderated_bars_hold_what_they_say() -> None:
    """Errors of three members' mean; the control is the spread with a factor, too narrow as in a learned potential."""
    rng = np.random.default_rng(0)
    scales, spreads = drawn_spreads(rng, 5.0)
    errors = rng.normal(0, 1.7 * scales)
    usual, prior = fit_prior(spreads, 6.0)
    moderated = np.sqrt((prior * usual**2 + 6 * spreads**2) / (prior + 6))
    bars = {"spread": (spreads, float("inf")), "moderated": (moderated, prior + 6)}
    inside = {}
    for name, (stds, degrees) in bars.items():
        factor = np.sqrt(np.mean(errors**2) / np.mean(stds**2))
        given = Deviations(errors, factor * stds, degrees)
        inside[name] = [given.inside(level) for level in (0.5, 0.8, 0.95)]
    assert inside["moderated"] == pytest.approx([0.5, 0.8, 0.95], abs=0.01)
    assert inside["spread"][2] < 0.92


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
