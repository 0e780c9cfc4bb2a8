from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Data

from pyg_mpnn.inspection import check_training_time


def test_real_steps_are_timed(frames: list[Data]) -> None:
    found = check_training_time(frames, [4.0], size="small", batch_size=4, steps=2)
    numbers = found.numbers
    assert numbers["steps_per_epoch"] == 75
    assert 1e-3 < numbers["seconds_per_step"] < 30
    assert numbers["seconds_per_epoch"] == pytest.approx(75 * numbers["seconds_per_step"])
    assert "size small, 4 structures a step" in found.finding


def test_it_says_where_it_was_timed(frames: list[Data]) -> None:
    """A device of torch's own without numbers stands for a GPU: everything is put there before it is computed."""
    assert "CPU" in check_training_time(frames[:4], [4.0], size="small", batch_size=2, steps=1).finding
    with pytest.raises((NotImplementedError, RuntimeError), match=r"[Mm]eta"):
        check_training_time(frames[:4], [4.0], size="small", batch_size=2, steps=1, device="meta")


def test_global_random_numbers_are_left_alone(frames: list[Data]) -> None:
    state = torch.get_rng_state()
    check_training_time(frames[:4], [4.0], size="small", batch_size=2, steps=1)
    assert torch.equal(torch.get_rng_state(), state)


def test_errors(frames: list[Data]) -> None:
    with pytest.raises(ValueError, match="'steps' must be at least 1, got 0"):
        check_training_time(frames, [4.0], steps=0)


def test_no_more_structures_at_a_time_than_there_are_or_is_time_for(frames: list[Data]) -> None:
    few = check_training_time(frames[:3], [4.0], size="small", batch_size=64, steps=1)
    assert few.numbers["batch_size"] == 3
    assert "3 structures a step" in few.finding
    assert "an epoch of 1 step," in few.finding
    slow = check_training_time(frames[:8], [4.0], size="small", steps=1, seconds=1e-6)
    assert "8 structures a step" in slow.finding
    assert "timed with 1 at a time" in slow.finding
