from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from torch_geometric.data import Data

from pyg_mpnn.data import Reference, ethanol
from pyg_mpnn.training import Errors, Predictions, TrainingResult, compute_errors, evaluate
from pyg_mpnn.training.report import _warnings, trivial_predictions
from pyg_mpnn.training.training_data import TrainingData


def test_trivial_predictor_knows_the_composition_and_no_forces() -> None:
    frames = [Data(z=torch.tensor([1, 1, 8])), Data(z=torch.tensor([8]))]
    reference = Reference({1: -10.0, 8: -100.0}, 1.0, (1.0,), 2, 2)
    energy, forces = torch.tensor([-121.0, -99.0], dtype=torch.float64), torch.ones(4, 3, dtype=torch.float64)
    given = Predictions(torch.tensor([3, 1]), energy, energy, forces, forces)
    trivial = trivial_predictions(given, frames, reference)
    assert trivial.energy.tolist() == [-120.0, -100.0]
    found = compute_errors(trivial)
    assert (found.energy_mae_meV, found.forces_mae_meV_per_A) == (1000.0, 1000.0)


def test_report_is_complete(finished: TrainingResult) -> None:
    names = {path.name for path in finished.out.iterdir()}
    assert names == {
        "best.ckpt",
        "last.ckpt",
        "metrics.csv",
        "settings.json",
        "parity.png",
        "report.html",
        "structures.chemiscope.json.gz",
        "learning_curve.png",
        "model_card.md",
        "model_card.json",
    }


def test_errors_are_those_of_the_test_structures(finished: TrainingResult) -> None:
    test = ethanol("test")[:6]
    assert finished.errors.summary() == pytest.approx(evaluate(finished.potential, test).summary(), rel=1e-6)
    forces = torch.cat([frame.forces for frame in test])
    assert finished.trivial.forces_mae_meV_per_A == pytest.approx(1e3 * forces.abs().mean().item())


def test_card_tells_what_is_needed_to_judge_and_to_repeat(finished: TrainingResult) -> None:
    card = json.loads((finished.out / "model_card.json").read_text())
    assert card["data"]["training_structures"] == 8
    assert len(card["data"]["sha256"]) == len(card["data"]["test_sha256"]) == 64
    assert len(card["data"]["validation_indices"]) == card["data"]["validation_structures"] == 4
    assert card["model"]["elements"] == [1, 6, 8]
    assert card["model"]["config"]["representation"]["hidden_channels"] == 8
    assert card["model"]["parameters"] == sum(p.numel() for p in finished.potential.parameters())
    assert (card["reference_energies"]["rank"], card["reference_energies"]["num_elements"]) == (1, 3)
    assert (card["training"]["seed"], card["training"]["epochs_done"], card["training"]["steps_done"]) == (0, 3, 12)
    assert card["training"]["minutes_done"] >= 0
    assert card["units"]["forces"] == "eV/A"
    assert card["errors"]["test"]["forces_mae_meV_per_A"] == finished.errors.forces_mae_meV_per_A
    assert card["errors"]["trivial predictor"]["energy_mae_meV"] == finished.trivial.energy_mae_meV
    assert any("compositions do not tell the elements apart" in warning for warning in card["warnings"])


@pytest.mark.usefixtures("unchecked")
def test_energies_no_better_than_the_mean_are_told(finished: TrainingResult) -> None:
    card = json.loads((finished.out / "model_card.json").read_text())
    told = any("no better than those of the trivial predictor" in warning for warning in card["warnings"])
    assert told == (finished.errors.energy_mae_meV >= finished.trivial.energy_mae_meV)
    good, bad = (Errors(5, energy, energy, 1.0, 1.0, 1.0, 1.0) for energy in (5.0, 9.0))
    reference = Reference({1: -10.0}, 1.0, (1.0,), 1, 1)
    data = TrainingData([], [], [], reference, reference, {})
    for errors, expected in ((good, 0), (bad, 1)):
        assert len(_warnings(data, "test", errors, bad)) == expected
    few = dataclasses.replace(bad, n_structures=4)
    assert _warnings(data, "test", few, few) == [], "a few structures cannot tell"
