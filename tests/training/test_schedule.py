from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from torch.optim.swa_utils import AveragedModel

from pyg_mpnn.training.schedule import learning_rate_factor, moving_average, weight_at


def test_factor_rises_linearly_then_falls_along_a_cosine_to_zero() -> None:
    assert learning_rate_factor(0.01, 0.02) == pytest.approx(0.5)
    assert learning_rate_factor(0.02, 0.02) == pytest.approx(1.0)
    assert learning_rate_factor(0.02 + 0.98 / 4, 0.02) == pytest.approx(0.5 * (1 + math.sqrt(0.5)))
    assert learning_rate_factor(1.0, 0.02) == pytest.approx(0.0, abs=1e-15)


def test_factor_stays_in_range_outside_the_training() -> None:
    assert learning_rate_factor(-0.5, 0.1) == 0.0
    assert learning_rate_factor(1.5, 0.1) == pytest.approx(0.0, abs=1e-15)


def test_factor_without_warmup_starts_at_one() -> None:
    assert learning_rate_factor(0.0, 0.0) == 1.0


def test_weight_moves_geometrically_in_the_last_quarter() -> None:
    assert weight_at(0.0, 0.1, 10.0) == weight_at(0.75, 0.1, 10.0) == pytest.approx(0.1)
    assert weight_at(0.85, 0.1, 10.0) == pytest.approx(1.0)
    assert weight_at(0.95, 0.1, 10.0) == weight_at(1.2, 0.1, 10.0) == pytest.approx(10.0)
    assert weight_at(0.85, 4.0, 1.0) == pytest.approx(2.0)


def test_weight_without_a_second_value_stays() -> None:
    assert weight_at(0.9, 0.0, None) == 0.0


@pytest.mark.parametrize(("steps", "decay"), [(1, 2 / 11), (8, 0.5), (891, 0.99), (10**6, 0.99)])
def test_decay_rises_to_its_final_value(steps: int, decay: float, dtype: torch.dtype) -> None:
    average, current = [torch.zeros(3), torch.ones(2, 2)], [torch.ones(3), torch.zeros(2, 2)]
    moving_average(0.99, lambda: steps)(average, current, None)
    torch.testing.assert_close(average[0], torch.full((3,), 1 - decay), rtol=1e-5, atol=0)
    torch.testing.assert_close(average[1], torch.full((2, 2), decay), rtol=1e-5, atol=0)


def test_averaged_model_follows_a_model_in_use(dtype: torch.dtype) -> None:
    model, counter = torch.nn.Linear(1, 1, bias=False), SimpleNamespace(global_step=0)
    averaged = AveragedModel(model, multi_avg_fn=moving_average(0.5, lambda: counter.global_step))
    values = []
    for step, weight in enumerate((1.0, 3.0, 5.0), start=1):
        counter.global_step = step
        torch.nn.init.constant_(model.weight, weight)
        averaged.update_parameters(model)
        values.append(averaged.module.weight.item())
    first = 1.0  # the first update is a copy
    second = 3 / 12 * first + 9 / 12 * 3.0
    assert values == pytest.approx([first, second, 4 / 13 * second + 9 / 13 * 5.0], rel=1e-6)
