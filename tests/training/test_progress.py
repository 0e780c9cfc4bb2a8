from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from pyg_mpnn.training.progress import ProgressLine

pytestmark = pytest.mark.usefixtures("unchecked")  # stand-ins for Lightning's trainer


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
