from __future__ import annotations

import importlib.util
import io
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch_geometric.data import Data

from pyg_mpnn.training import TrainingResult, TrainingSettings, logs, train
from pyg_mpnn.training.logs import CsvHistory, ProgressLine, read_history

pytestmark = pytest.mark.usefixtures("unchecked")  # stand-ins for Lightning's trainer


def _trainer(epoch: int, value: float, *, first: bool = True) -> Any:
    metrics = {"a": torch.tensor(value)}
    return SimpleNamespace(
        current_epoch=epoch, global_step=4 * (epoch + 1), callback_metrics=metrics, is_global_zero=first
    )


def test_lines_of_repeated_epochs_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    first = CsvHistory(path)
    first.on_train_start(_trainer(0, 0.0), None)  # type: ignore[arg-type]
    for epoch in range(3):
        first.on_train_epoch_end(_trainer(epoch, float(epoch)), None)  # type: ignore[arg-type]
    second = CsvHistory(path)  # the last checkpoint was that of epoch 2, the first to run again is the third
    second.on_train_start(_trainer(2, 0.0), None)  # type: ignore[arg-type]
    second.on_train_epoch_end(_trainer(2, 20.0), None)  # type: ignore[arg-type]
    assert read_history(path) == [
        {"epoch": 1, "step": 4, "a": 0.0, "recoveries": 0},
        {"epoch": 2, "step": 8, "a": 1.0, "recoveries": 0},
        {"epoch": 3, "step": 12, "a": 20.0, "recoveries": 0},
    ]


def test_lines_of_another_version_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("epoch,step,older\n1,4,0.5\n")
    for epoch in (1, 2):  # a resumption each
        history = CsvHistory(path)
        history.on_train_start(_trainer(epoch, 0.0), None)  # type: ignore[arg-type]
        history.on_train_epoch_end(_trainer(epoch, 1.0), None)  # type: ignore[arg-type]
    assert read_history(path) == [
        {"epoch": 1, "step": 4, "older": 0.5},
        {"epoch": 2, "step": 8, "a": 1.0, "recoveries": 0},
        {"epoch": 3, "step": 12, "a": 1.0, "recoveries": 0},
    ]


def test_other_processes_write_nothing(tmp_path: Path) -> None:
    history = CsvHistory(tmp_path / "metrics.csv")
    history.on_train_epoch_end(_trainer(0, 1.0, first=False), None)  # type: ignore[arg-type]
    assert not history.path.exists()


def test_absent_log_is_empty(tmp_path: Path) -> None:
    assert read_history(tmp_path / "metrics.csv") == []


def test_log_of_a_training_has_one_line_an_epoch(finished: TrainingResult) -> None:
    rows = read_history(finished.out / "metrics.csv")
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert [row["step"] for row in rows] == [4, 8, 12]
    assert all(row["valid_forces_mae_meV_per_A"] > 0 for row in rows)
    for row in rows:
        expected = row["valid_forces_mae_meV_per_A"] + row["valid_energy_mae_meV_per_atom"]
        assert row["valid_score"] == pytest.approx(expected, rel=1e-5)


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
    monkeypatch.setattr(logs, "WandbLogger", lambda **options: told.update(options))
    given = settings(wandb=mode)
    logs.make_loggers(given)
    assert told["offline"] == (mode == "offline")
    assert str(told["save_dir"]) == given.out
    assert told["config"]["epochs"] == 2


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


METRICS = {
    "valid_score": torch.tensor(37.0),
    "valid_forces_mae_meV_per_A": torch.tensor(35.21),
    "valid_energy_mae_meV_per_atom": torch.tensor(1.88),
}


def _state(progress: float, epoch: int, minutes: float | None = 5.0) -> tuple[Any, Any]:
    settings = SimpleNamespace(minutes=minutes, epochs=None if minutes else 10)
    module = SimpleNamespace(progress=progress, seconds=300.0 * progress, settings=settings, outputs={})
    return SimpleNamespace(current_epoch=epoch, callback_metrics=METRICS), module


def test_a_file_gets_a_line_per_twentieth_of_the_training() -> None:
    stream = io.StringIO()
    line = ProgressLine(stream)
    for epoch in range(1000):
        line.on_train_batch_end(*_state(epoch / 1000, epoch), None, None, 0)
        line.on_train_epoch_end(*_state((epoch + 1) / 1000, epoch))
    lines = stream.getvalue().splitlines()
    assert 20 <= len(lines) <= 22
    assert lines[0] == (
        "  0 % [....................]  epoch 1  0:00 of 5:00  validation MAE: forces 35.2 meV/A, energy 1.88 meV/atom"
    )
    assert lines[-1].startswith("100 % [####################]  epoch 1000  5:00 of 5:00")


def test_a_terminal_gets_one_line_redrawn_at_intervals() -> None:
    stream = _Terminal()
    line = ProgressLine(stream, interval=1e9)
    for step in range(5):
        line.on_train_batch_end(*_state(0.1, 0), None, None, step)
    line.on_train_epoch_end(*_state(0.5, 0))
    assert stream.getvalue().count("\r") == 1
    assert "\n" not in stream.getvalue()
    line.on_train_end(*_state(1.0, 0))
    assert stream.getvalue().endswith("meV/atom\n")


def test_total_time_is_estimated_for_epochs() -> None:
    stream = io.StringIO()
    ProgressLine(stream).on_train_epoch_end(*_state(0.5, 4, minutes=None))
    assert "2:30 of 5:00" in stream.getvalue()


def test_disabled_line_is_silent() -> None:
    stream = _Terminal()
    line = ProgressLine(stream)
    line.disable()
    line.on_train_batch_end(*_state(0.5, 0), None, None, 0)
    line.on_train_end(*_state(1.0, 0))
    assert stream.getvalue() == ""
    line.enable()
    line.on_train_end(*_state(1.0, 0))
    assert "100 %" in stream.getvalue()


def test_other_outputs_are_shown_with_their_units() -> None:
    stream = io.StringIO()
    trainer, module = _state(0.5, 4)
    module.outputs = {"dipole": SimpleNamespace(unit="e*A"), "count": SimpleNamespace(unit="")}
    trainer.callback_metrics = {"valid_dipole_mae": torch.tensor(0.125), "valid_count_mae": torch.tensor(2.0)}
    ProgressLine(stream).on_train_epoch_end(trainer, module)
    assert stream.getvalue().rstrip().endswith("validation MAE: dipole 0.125 e*A, count 2")
