from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pyg_mpnn import PropertyModel
from pyg_mpnn.cli import main
from pyg_mpnn.data import QM9, QM9_TARGETS
from pyg_mpnn.training import PropertyModule, TrainingSettings, train, train_property
from pyg_mpnn.training.history import read_history
from pyg_mpnn.training.train_property import predict_property

FOLDER = Path(__file__).parents[1] / "data" / "assets" / "qm9"
TINY = {"hidden_channels": 32, "edge_dim": 16, "channels": 4, "l_max": 1, "num_layers": 1}
Settings = Callable[..., TrainingSettings]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    base = TrainingSettings(
        str(FOLDER),
        str(tmp_path / "run"),
        target="gap",
        size="small",
        epochs=2,
        batch_size=16,
        device="cpu",
        threads=1,
        learning_rate=1e-2,
        model=TINY,
    )
    return lambda **changes: dataclasses.replace(base, **changes)


@pytest.mark.parametrize("target", QM9_TARGETS)
def test_each_target_trains_and_beats_the_mean(settings: Settings, target: str) -> None:
    """Small molecules of the sample, trained and tested on the same ones: does the model of each kind learn?"""
    molecules = QM9(FOLDER, target)[:32]
    found = train_property(settings(target=target, epochs=12, batch_size=8), parts=(molecules, molecules, molecules))
    rows = read_history(found.out / "metrics.csv")
    assert rows[-1]["train_mae"] < 0.85 * rows[0]["train_mae"]
    assert found.mae < 0.85 * found.mean_mae
    assert found.mae < found.composition_mae
    truth = torch.cat([molecule.target for molecule in molecules])
    loaded = PropertyModel.load(found.out / "best.ckpt")
    assert (predict_property(loaded, molecules) - truth).abs().mean().item() == pytest.approx(found.mae, rel=1e-4)


def test_command_trains_on_the_split_of_qm9(settings: Settings, tmp_path: Path) -> None:
    out = tmp_path / "cli"
    flags = ["--epochs", "1", "--size", "small", "--device", "cpu", "--batch-atoms", "100", "--model.num_layers", "1"]
    assert main(["train", "--data", str(FOLDER), "--target", "U0", "--out", str(out), *flags]) == 0
    found = json.loads((out / "result.json").read_text())
    assert [found["data"][f"{name}_structures"] for name in ("training", "validation", "test")] == [81, 7, 8]
    assert found["unit"] == "eV"
    assert found["data"]["split_sha256"] == QM9(FOLDER).split().sha256
    assert 0 < found["test_mae_of_composition"] < 0.2 * found["test_mae_of_mean"]


def test_interrupted_training_goes_on_exactly(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train_property(settings(epochs=3))
    step = PropertyModule.training_step

    def stop(self: PropertyModule, batch: Any, batch_idx: int) -> None:
        if self.global_step == 8:
            raise RuntimeError("power cut")
        step(self, batch, batch_idx)

    out = str(tmp_path / "cut")
    with monkeypatch.context() as patch:
        patch.setattr(PropertyModule, "training_step", stop)
        with pytest.raises(RuntimeError, match="power cut"):
            train_property(settings(epochs=3, out=out))
    with pytest.raises(ValueError, match=r"'resume' must continue the same training, got other values for .*'target'"):
        train_property(settings(epochs=3, out=out, resume=True, target="homo"))
    resumed = train_property(settings(epochs=3, out=out, resume=True))
    assert resumed.mae == whole.mae
    for one, other in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_parts_of_a_step_train_as_the_whole(settings: Settings, tmp_path: Path) -> None:
    start = PropertyModel.from_size("small", kind="intensive", **TINY).double()
    models = []
    for name, parts in (("whole", 1), ("parts", 3)):
        base = settings(dtype="float64", out=str(tmp_path / name), accumulate=parts)
        models.append(train_property(base, copy.deepcopy(start)).model)
    moved = 0.0
    for before, one, other in zip(*(model.parameters() for model in (start, *models)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-9)
        moved = max(moved, float((one - before).detach().abs().max()))
    assert moved > 1e-4, "control: the weights moved"


def test_patience_ends_a_training_that_does_not_get_better(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    base = settings(epochs=6, learning_rate=1e-30, patience=1)
    first = train_property(base)
    assert [row["epoch"] for row in read_history(first.out / "metrics.csv")] == [1, 2]
    capsys.readouterr()
    assert train_property(dataclasses.replace(base, resume=True)).mae == first.mae
    assert "had stopped early (patience 1)" in capsys.readouterr().out


def test_unusable_settings_are_errors(settings: Settings) -> None:
    with pytest.raises(ValueError, match=r"'target' must be one of mu, .*, got 'charge'"):
        train_property(settings(target="charge"))
    file = next(path for path in FOLDER.iterdir() if path.is_file())
    with pytest.raises(ValueError, match=r"'data' must be a folder with QM9, .*: leave 'target' out"):
        train_property(settings(data=str(file)))
    with pytest.raises(ValueError, match=r"'compile' must be 'off' or 'auto' for a property, got 'on'"):
        train_property(settings(compile="on"))
    with pytest.raises(ValueError, match=r"'target' must be None for energies and forces, got 'gap'"):
        train(settings())
    molecules = QM9(FOLDER)[:3]
    with pytest.raises(ValueError, match=r"'target' is missing in molecule 0 of train"):
        train_property(settings(), parts=(molecules, molecules, molecules))
    with pytest.raises(ValueError, match=r"'parts' must hold molecules .*, got none for test"):
        train_property(settings(), parts=(QM9(FOLDER, "gap")[:3], QM9(FOLDER, "gap")[:3], []))
    assert not Path(settings().out).exists()
