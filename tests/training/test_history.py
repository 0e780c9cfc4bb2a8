from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from pyg_mpnn.training import TrainingResult
from pyg_mpnn.training.history import CsvHistory, read_history

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
