from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from pyg_mpnn.training import TrainingSettings
from pyg_mpnn.training.skipped_steps import MAX_SKIPPED, SkippedSteps, advice

LOSS = {"forces": float("inf"), "energy": 0.25}


@pytest.fixture
def settings(tmp_path: Path) -> TrainingSettings:
    return TrainingSettings("data", str(tmp_path), epochs=1, learning_rate=0.02)


def test_step_is_counted_and_reported(settings: TrainingSettings) -> None:
    skipped = SkippedSteps(settings)
    with pytest.warns(
        RuntimeWarning, match=r"got forces inf, energy 0.25 in step 3: the step is skipped \(in a row: 1"
    ):
        skipped.add(LOSS, "step 3", report=True)
    assert (skipped.total, skipped.in_a_row) == (1, 1)


def test_other_processes_count_without_a_word(settings: TrainingSettings) -> None:
    skipped = SkippedSteps(settings)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        skipped.add(LOSS, "step 3", report=False)
    assert (skipped.total, skipped.in_a_row) == (1, 1)


def test_ten_in_a_row_are_too_many(settings: TrainingSettings) -> None:
    skipped = SkippedSteps(settings)
    for _ in range(MAX_SKIPPED - 1):
        skipped.add(LOSS, "a step", report=False)
    skipped.in_a_row = 0  # a good step
    for _ in range(MAX_SKIPPED - 1):
        skipped.add(LOSS, "a step", report=False)
    assert not skipped.too_many
    skipped.add(LOSS, "step 40", report=False)
    assert skipped.too_many
    assert skipped.last == "the loss and its gradient must be finite, got forces inf, energy 0.25 in step 40"
    assert skipped.total == 2 * MAX_SKIPPED - 1


def test_advice_names_what_is_left_and_what_to_lower(settings: TrainingSettings, tmp_path: Path) -> None:
    assert advice(settings).startswith(
        "No checkpoint had been written. Start again with a lower 'learning_rate' (was 0.02)"
    )
    (tmp_path / "last.ckpt").touch()
    assert advice(settings).startswith(f"The last good checkpoint is {tmp_path / 'last.ckpt'}. Start again")
