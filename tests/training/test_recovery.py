from __future__ import annotations

import json
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, WeightAveraging
from torch import Tensor
from torch_geometric.data import Data

from pyg_mpnn.training import PotentialModule, TrainingSettings, recovery, train
from pyg_mpnn.training.logs import read_history

Settings = Callable[..., TrainingSettings]
STEPS = 4  # per epoch


def _blow_up(monkeypatch: pytest.MonkeyPatch, steps: Collection[int]) -> list[dict[str, Any]]:
    """Spoil the weights in some steps; what the module was before each of its steps."""
    states: list[dict[str, Any]] = []
    plain = PotentialModule.training_step

    def spoiled(module: PotentialModule, batch: Any, batch_idx: int) -> None:
        optimizer = module.trainer.optimizers[0]
        states.append(
            {
                "weights": [weight.detach().clone() for weight in module.parameters()],
                "moments": [{k: v.clone() for k, v in state.items()} for state in optimizer.state.values()],
                "rate": optimizer.param_groups[0]["lr"],
            }
        )
        plain(module, batch, batch_idx)
        if module.steps in steps:
            with torch.no_grad():
                for weight in module.parameters():
                    weight *= 5

    monkeypatch.setattr(PotentialModule, "training_step", spoiled)
    return states


def _checkpoint(settings: TrainingSettings, name: str) -> dict[str, Any]:
    checkpoint: dict[str, Any] = torch.load(Path(settings.out) / f"{name}.ckpt", weights_only=True)
    return checkpoint


def _rows(settings: TrainingSettings) -> list[dict[str, float]]:
    return read_history(Path(settings.out) / "metrics.csv")


def _equal(first: list[Tensor], second: list[Tensor]) -> bool:
    """Bitwise; reference energies of unknown elements are NaN."""
    pairs = zip(first, second, strict=True)
    return all(torch.allclose(one, other, rtol=0.0, atol=0.0, equal_nan=True) for one, other in pairs)


@pytest.mark.slow
def test_diverged_training_goes_on_from_the_best_checkpoint_with_half_the_rate(
    settings: Settings, frames: list[Data], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings_ = settings(epochs=3, warmup=0.0)
    with monkeypatch.context() as patch:
        undisturbed = _blow_up(patch, ())
        train(settings(epochs=3, warmup=0.0, out=settings_.out + "-undisturbed"), frames=frames)
    states = _blow_up(monkeypatch, {STEPS + 2})
    with pytest.warns(
        RuntimeWarning, match=r"diverged: .* after epoch 2, .* the best checkpoint \(epoch 1\) with 1/2 of"
    ):
        result = train(settings_, frames=frames)
    before, after = states[STEPS], states[2 * STEPS]
    assert _equal(after["weights"], before["weights"])
    assert not _equal(states[2 * STEPS - 1]["weights"], before["weights"])
    for old, new in zip(before["moments"], after["moments"], strict=True):
        assert _equal(list(old.values()), list(new.values()))
    ratios = [state["rate"] / plain["rate"] for state, plain in zip(states, undisturbed, strict=True)]
    assert ratios == pytest.approx([1.0] * 8 + [0.5] * 4)
    first, second, third = _rows(settings_)
    assert second["valid_score"] > 10 * first["valid_score"] > third["valid_score"]
    assert [row["recoveries"] for row in (first, second, third)] == [0, 1, 1]
    card = json.loads((result.out / "model_card.json").read_text())
    assert card["training"]["recoveries"] == 1
    assert result.errors.forces_mae_meV_per_A < 2 * third["valid_forces_mae_meV_per_A"]


def test_without_it_the_training_is_lost(
    settings: Settings, frames: list[Data], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "DIVERGED", float("inf"))
    _blow_up(monkeypatch, {STEPS + 2})
    train(settings(epochs=3), frames=frames)
    rows = _rows(settings())
    assert rows[2]["valid_score"] > 10 * rows[0]["valid_score"]


def test_averaged_weights_go_back_too(settings: Settings, frames: list[Data], monkeypatch: pytest.MonkeyPatch) -> None:
    _blow_up(monkeypatch, {STEPS + 2})
    with pytest.warns(RuntimeWarning, match="diverged"):
        train(settings(), frames=frames)
    best, last = (_checkpoint(settings(), name) for name in ("best", "last"))
    assert (best["epoch"], last["epoch"]) == (0, 1)
    for kind in ("state_dict", "current_model_state"):
        assert _equal(list(best[kind].values()), list(last[kind].values())), kind


@pytest.mark.slow
def test_resumed_training_keeps_the_lower_rate(
    settings: Settings, frames: list[Data], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        _blow_up(patch, {STEPS + 2})
        with pytest.warns(RuntimeWarning, match="diverged"):
            train(settings(warmup=0.0), frames=frames)
    states = _blow_up(monkeypatch, ())
    train(settings(epochs=4, resume=True, warmup=0.0), frames=frames)
    full = TrainingSettings("tiny", "run", epochs=1).highest_learning_rate
    assert states[0]["rate"] == pytest.approx(0.25 * full, rel=1e-6), "half of the schedule, half of it kept"
    assert [row["recoveries"] for row in _rows(settings())] == [0, 1, 1, 1]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The training diverged")
def test_sixth_divergence_ends_the_training_and_names_the_checkpoint(
    settings: Settings, frames: list[Data], monkeypatch: pytest.MonkeyPatch
) -> None:
    _blow_up(monkeypatch, range(STEPS + 2, 100, STEPS))
    message = r"diverged, for the 6th time, with 1/32 of .* after epoch 7, .* The last good checkpoint is .*last.ckpt"
    with pytest.raises(FloatingPointError, match=message):
        train(settings(epochs=9), frames=frames)
    assert _checkpoint(settings(), "last")["pyg_mpnn"]["recoveries"] == recovery.MAX_RECOVERIES


def test_recovery_after_the_last_epoch_is_counted(
    settings: Settings, frames: list[Data], monkeypatch: pytest.MonkeyPatch
) -> None:
    _blow_up(monkeypatch, {STEPS + 2})
    with pytest.warns(RuntimeWarning, match="diverged"):
        result = train(settings(), frames=frames)
    assert [row["recoveries"] for row in _rows(settings())] == [0, 1]
    assert json.loads((result.out / "model_card.json").read_text())["training"]["recoveries"] == 1


def test_a_score_that_is_low_by_chance_is_no_measure() -> None:
    """A single energy that validates crosses its reference now and then; after that nothing has diverged."""
    parts = Mock(spec=ModelCheckpoint), Mock(spec=WeightAveraging)
    callback = recovery.Recovery(*parts)
    module = PotentialModule.__new__(PotentialModule)
    trainer = Mock(spec=Trainer)
    for score in (14.0, 20.0, 58.0, 90.0, 22.0, 0.3, 13.0, 8.0):
        trainer.callback_metrics = {"valid_score": score}
        callback.on_train_epoch_end(trainer, module)
    assert callback.lowest == [0.3, 8.0, 13.0, 14.0, 20.0]
    again = recovery.Recovery(*parts)
    again.load_state_dict(callback.state_dict())
    assert again.lowest == callback.lowest
    for diverged in (131.0, float("nan"), float("inf")):
        trainer.callback_metrics, trainer.current_epoch = {"valid_score": diverged}, 8
        with pytest.raises(AttributeError):  # control: it goes back, for which there is nothing here
            callback.on_train_epoch_end(trainer, module)
