"""Trainings from data to report: scales, crystals, and a small potential that learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ase.io
import pytest
from ase.build import molecule
from torch_geometric.data import Data

from pyg_mpnn.data import ethanol
from pyg_mpnn.md import run_prediction
from pyg_mpnn.training import TrainingSettings, evaluate, train

TINY: dict[str, Any] = {"hidden_channels": 8, "edge_dim": 8, "channels": 2, "l_max": 1, "num_layers": 1}


@pytest.fixture(scope="module")
def frames() -> list[Data]:
    return ethanol("train")[:40]


def _settings(out: Path, **changes: Any) -> TrainingSettings:
    defaults: dict[str, Any] = {"valid_size": 2, "epochs": 1, "batch_size": 2, "device": "cpu", "model": TINY}
    return TrainingSettings("ethanol frames", str(out), **{**defaults, **changes})


@pytest.mark.slow
@pytest.mark.parametrize("cutoff", [(3.0, 5.0), (2.0, 3.5, 5.0)])
def test_scales_train_from_data_to_report(cutoff: tuple[float, ...], frames: list[Data], tmp_path: Path) -> None:
    result = train(_settings(tmp_path / "run", cutoff=cutoff), frames=frames[:6], test=frames[6:8])
    assert result.potential.cutoffs == cutoff
    assert evaluate(result.out / "best.ckpt", frames[6:8]) == result.errors


@pytest.mark.slow
def test_crystals_are_trained_on_their_stress(tmp_path: Path) -> None:
    file = str(Path(__file__).parents[1] / "data" / "assets" / "si.extxyz")
    number = len(ase.io.read(file, ":"))
    settings = TrainingSettings(
        file, str(tmp_path / "run"), test=file, valid_size=1, epochs=1, batch_size=2, device="cpu", model=TINY
    )
    result = train(settings)
    assert result.errors.n_structures == number
    assert result.errors.stress_mae_meV_per_A3 is not None
    assert result.trivial.stress_mae_meV_per_A3 is not None
    assert settings.stress_weight > 0, "the default must train on the stress"
    assert "| stress MAE (GPa) |" in (result.out / "model_card.md").read_text()
    assert "valid_stress_mae_GPa" in (result.out / "metrics.csv").read_text()


@pytest.mark.long
def test_a_small_potential_learns_the_forces(frames: list[Data], tmp_path: Path) -> None:
    model = {"hidden_channels": 32, "edge_dim": 16, "channels": 8, "num_layers": 2}
    settings = _settings(tmp_path / "run", epochs=40, valid_size=8, batch_size=4, size="small", model=model)
    result = train(settings, frames=frames)
    assert result.errors.forces_mae_meV_per_A < 0.5 * result.trivial.forces_mae_meV_per_A


@pytest.mark.slow
def test_commands_say_what_a_potential_was_not_trained_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = TrainingSettings("tiny", str(tmp_path / "run"), valid_size=2, epochs=1, batch_size=2, model=TINY)
    potential = train(settings, frames=ethanol("train")[:6]).potential
    potential.save(tmp_path / "saved.pt")
    ase.io.write(tmp_path / "water.xyz", molecule("H2O"))
    for model in (tmp_path / "run" / "best.ckpt", tmp_path / "saved.pt"):
        for structures, told in ((str(tmp_path / "water.xyz"), True), ("ethanol", False)):
            capsys.readouterr()
            run_prediction(str(model), structures, tmp_path / "out.xyz", overwrite=True)
            shown = capsys.readouterr().out
            assert ("Note: H2O: not a combination of what the potential was trained on (C2H6O)" in shown) == told
