from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch_geometric.data import Batch, Data

from pyg_mpnn import Potential
from pyg_mpnn.geometry import RadiusGraph
from pyg_mpnn.training import Errors, PotentialModule, TrainingSettings, loss_terms, train
from pyg_mpnn.training import module as module_of_training
from pyg_mpnn.training.history import read_history
from pyg_mpnn.training.module import score

Settings = Callable[..., TrainingSettings]


def _module(settings: TrainingSettings, **options: Any) -> PotentialModule:
    potential = Potential.from_size("small", **settings.model, **options)
    potential.set_reference({1: -1.0, 6: -2.0, 8: -3.0}, 2.0, [5.0])
    return PotentialModule(potential, settings)


def _history_path(settings: TrainingSettings) -> Path:
    return Path(settings.out) / "metrics.csv"


def _batch(frames: list[Data]) -> Batch:
    graph = RadiusGraph(5.0)
    batch = Batch.from_data_list([graph(frame) for frame in frames[:3]])
    batch.pos, batch.forces = batch.pos.float(), batch.forces.float()
    return batch


def test_score_is_force_error_plus_energy_error_per_atom() -> None:
    assert score(Errors(1, 90.0, 90.0, 10.0, 10.0, 25.0, 30.0)) == 35.0


def test_loss_weighs_the_terms(settings: Settings, frames: list[Data]) -> None:
    module = _module(settings(force_weight=3.0, energy_weight=0.5))
    batch = _batch(frames)
    terms = loss_terms(module.potential(batch), batch, 2.0)
    expected = 3.0 * terms.forces + 0.5 * terms.energy
    assert module.training_step(batch, 0).item() == pytest.approx(expected.item(), rel=1e-6)


def test_stress_weight_counts_where_a_stress_is_known(settings: Settings, silicon: Data) -> None:
    silicon.energy, silicon.forces = torch.zeros(1, dtype=torch.float64), torch.zeros_like(silicon.pos)
    silicon.stress = torch.full((1, 3, 3), 0.01)
    batch = Batch.from_data_list([silicon])
    losses = []
    for weight in (0.0, 1.0, 2.0):
        torch.manual_seed(0)
        module = _module(settings(stress_weight=weight))
        module.potential.set_reference({14: -1.0}, 2.0, [5.0])
        losses.append(module.training_step(batch, 0).item())
    assert losses[1] > losses[0]
    assert losses[2] - losses[0] == pytest.approx(2 * (losses[1] - losses[0]), rel=1e-4)


def test_only_unconstrained_potentials_are_rotated_unless_told(settings: Settings) -> None:
    raw = {"directions": "raw", "symmetry": "unconstrained"}
    assert _module(settings(), **raw).rotate
    assert not _module(settings()).rotate
    assert not _module(settings(rotate=False), **raw).rotate
    assert _module(settings(rotate=True)).rotate


def test_learning_rate_and_energy_weight_follow_the_schedule(settings: Settings, frames: list[Data]) -> None:
    settings_ = settings(epochs=4)
    train(settings_, frames=frames)
    rows = read_history(_history_path(settings_))
    rates = [row["learning_rate"] for row in rows]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.02 * settings_.learning_rate
    assert [row["energy_weight"] for row in rows][:3] == pytest.approx([0.1, 0.1, 0.1])
    assert rows[-1]["energy_weight"] > 1.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """A clock that moves by one second each time a training batch starts."""
    now = [100.0]
    monkeypatch.setattr(module_of_training.time, "monotonic", lambda: now[0])
    start = PotentialModule.on_train_batch_start

    def tick(self: PotentialModule, batch: Batch, batch_idx: int) -> None:
        start(self, batch, batch_idx)
        now[0] += 1.0

    monkeypatch.setattr(PotentialModule, "on_train_batch_start", tick)
    return iter([now])


def test_training_by_minutes_stops_when_they_are_over(
    settings: Settings, frames: list[Data], clock: Iterator[list[float]]
) -> None:
    settings_ = settings(epochs=None, minutes=0.1)  # six seconds: one epoch of four steps, then two steps
    train(settings_, frames=frames)
    rows = read_history(_history_path(settings_))
    assert [row["step"] for row in rows] == [4, 6]
    assert rows[-1]["minutes"] == pytest.approx(0.1)


def test_resumed_training_runs_the_minutes_that_remain(
    settings: Settings, frames: list[Data], clock: Iterator[list[float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings_ = settings(epochs=None, minutes=0.2)  # twelve seconds: three epochs of four steps

    def interrupted(self: PotentialModule, batch: Batch, batch_idx: int) -> torch.Tensor:
        if self.global_step == 6:
            raise RuntimeError("power cut")
        return step(self, batch, batch_idx)

    step = PotentialModule.training_step
    with monkeypatch.context() as patch:
        patch.setattr(PotentialModule, "training_step", interrupted)
        with pytest.raises(RuntimeError, match="power cut"):
            train(settings_, frames=frames)
    train(settings(epochs=None, minutes=0.2, resume=True), frames=frames)
    rows = read_history(_history_path(settings_))
    assert [row["step"] for row in rows] == [4, 8, 12]
    assert rows[-1]["minutes"] == pytest.approx(0.2)


def test_finished_training_by_minutes_can_be_given_more(
    settings: Settings, frames: list[Data], clock: Iterator[list[float]]
) -> None:
    train(settings(epochs=None, minutes=0.1), frames=frames)
    settings_ = settings(epochs=None, minutes=0.2, resume=True)
    train(settings_, frames=frames)
    rows = read_history(_history_path(settings_))
    assert [row["step"] for row in rows][:2] == [4, 6]
    assert rows[-1]["step"] == 12


def test_diverged_training_is_an_error_and_leaves_the_checkpoint(settings: Settings, frames: list[Data]) -> None:
    settings_ = settings(learning_rate=1e30)
    with pytest.raises(FloatingPointError, match=r"The loss must be finite, got .* in epoch 1: lower 'learning_rate'"):
        train(settings_, frames=frames)
    assert not (_history_path(settings_).parent / "last.ckpt").exists()
