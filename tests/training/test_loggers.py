from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch_geometric.data import Data

from pyg_mpnn.training import TrainingSettings, loggers, train
from pyg_mpnn.training.history import read_history

Settings = Callable[..., TrainingSettings]


def test_tensorboard_gets_the_numbers_of_metrics_csv(settings: Settings, frames: list[Data]) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    result = train(settings(tensorboard=True), frames=frames)
    events = EventAccumulator(str(result.out / "tensorboard"))
    events.Reload()
    rows = read_history(result.out / "metrics.csv")
    for name in ("valid_forces_mae_meV_per_A", "train_forces_rmse_meV_per_A", "learning_rate"):
        found = [(event.step, event.value) for event in events.Scalars(name)]
        assert [value for _, value in found] == pytest.approx([row[name] for row in rows])


@pytest.mark.parametrize(("name", "value"), [("tensorboard", True), ("wandb", "offline")])
def test_missing_package_is_an_error_before_anything_is_done(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, name: str, value: Any
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=rf"'{name}' needs the package {name}, .* pip install {name}"):
        train(settings(data="absent.xyz", **{name: value}))
    assert not Path(settings().out).exists()


@pytest.mark.parametrize("mode", ["online", "offline"])
def test_wandb_is_told_where_and_what(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, unchecked: None, mode: Any
) -> None:
    told: dict[str, Any] = {}
    monkeypatch.setattr(loggers, "WandbLogger", lambda **options: told.update(options))
    given = settings(wandb=mode)
    loggers.make_loggers(given)
    assert told["offline"] == (mode == "offline")
    assert str(told["save_dir"]) == given.out
    assert told["config"]["epochs"] == 2
