from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import Callback, WeightAveraging
from torch.optim.optimizer import Optimizer, register_optimizer_step_pre_hook
from torch_geometric.data import Batch, Data

from pyg_mpnn import Potential
from pyg_mpnn.data.frames import align_frames
from pyg_mpnn.geometry import RadiusGraph
from pyg_mpnn.training import LossTerms, PotentialModule, TrainingSettings, loss_terms, train
from pyg_mpnn.training import module as module_of_training
from pyg_mpnn.training.logs import read_history
from pyg_mpnn.training.loss import count_terms

train_of_training = importlib.import_module("pyg_mpnn.training.train")  # the package has a function of this name
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


def test_loss_weighs_the_terms(settings: Settings, frames: list[Data]) -> None:
    module = _module(settings(force_weight=3.0, energy_weight=0.5))
    batch = _batch(frames)
    terms = loss_terms(module.potential(batch), batch, 2.0)
    expected = 3.0 * terms.forces + 0.5 * terms.energy
    loss, squared = module.weighted_loss(batch)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    assert squared.tolist() == torch.stack(terms).tolist()


def test_stress_weight_counts_where_a_stress_is_known(settings: Settings, silicon: Data) -> None:
    silicon.energy, silicon.forces = torch.zeros(1, dtype=torch.float64), torch.zeros_like(silicon.pos)
    silicon.stress = torch.full((1, 3, 3), 0.01)
    batch = Batch.from_data_list([silicon])
    losses = []
    for weight in (0.0, 1.0, 2.0):
        torch.manual_seed(0)
        module = _module(settings(stress_weight=weight))
        module.potential.set_reference({14: -1.0}, 2.0, [5.0])
        losses.append(module.weighted_loss(batch)[0].item())
    assert losses[1] > losses[0]
    assert losses[2] - losses[0] == pytest.approx(2 * (losses[1] - losses[0]), rel=1e-4)


def test_only_unconstrained_potentials_are_rotated_unless_told(settings: Settings) -> None:
    raw = {"directions": "raw", "symmetry": "unconstrained"}
    assert _module(settings(), **raw).rotate
    assert not _module(settings()).rotate
    assert not _module(settings(rotate=False), **raw).rotate
    assert _module(settings(rotate=True)).rotate


@pytest.mark.slow
def test_learning_rate_and_energy_weight_follow_the_schedule(settings: Settings, frames: list[Data]) -> None:
    settings_ = settings(epochs=4)
    train(settings_, frames=frames)
    rows = read_history(_history_path(settings_))
    rates = [row["learning_rate"] for row in rows]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.02 * settings_.highest_learning_rate
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


@pytest.mark.slow
def test_training_by_minutes_stops_when_they_are_over(
    settings: Settings, frames: list[Data], clock: Iterator[list[float]]
) -> None:
    settings_ = settings(epochs=None, minutes=0.1)  # six seconds: one epoch of four steps, then two steps
    train(settings_, frames=frames)
    rows = read_history(_history_path(settings_))
    assert [row["step"] for row in rows] == [4, 6]
    assert rows[-1]["minutes"] == pytest.approx(0.1)


@pytest.mark.slow
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


@pytest.mark.slow
def test_finished_training_by_minutes_can_be_given_more(
    settings: Settings, frames: list[Data], clock: Iterator[list[float]]
) -> None:
    train(settings(epochs=None, minutes=0.1), frames=frames)
    settings_ = settings(epochs=None, minutes=0.2, resume=True)
    train(settings_, frames=frames)
    rows = read_history(_history_path(settings_))
    assert [row["step"] for row in rows][:2] == [4, 6]
    assert rows[-1]["step"] == 12


def test_each_weight_moves_to_its_final_one(settings: Settings) -> None:
    module = _module(settings(force_weight=4.0, final_force_weight=1.0, final_stress_weight=0.4))
    for progress, weights in ((0.7, (4.0, 0.1, 0.1)), (0.85, (2.0, 1.0, 0.2)), (1.0, (1.0, 10.0, 0.4))):
        assert module._weights_at(progress) == pytest.approx(weights)


def test_parts_add_up_to_the_whole(settings: Settings, frames: list[Data], silicon: Data) -> None:
    """Parts of different sizes, with other elements, and a stress in one of them only."""
    silicon.energy, silicon.forces = torch.ones(1, dtype=torch.float64), torch.ones_like(silicon.pos)
    silicon.stress = torch.full((1, 3, 3), 0.01)
    mixed = [silicon, *(frame.clone() for frame in frames[:4])]
    mixed[1].weight, mixed[3].weight = torch.tensor([3.0]), torch.tensor([0.5])
    align_frames(mixed)
    for frame in mixed:
        for name in ("pos", "forces", "cell", "stress", "weight"):
            frame[name] = frame[name].double()
    module = _module(settings(stress_weight=1.0)).double()
    module.potential.set_reference({1: -1.0, 6: -2.0, 8: -3.0, 14: -4.0}, 2.0, [5.0])
    whole = Batch.from_data_list(mixed)
    parts = [Batch.from_data_list(part) for part in (mixed[:2], mixed[2:])]
    counts = LossTerms(*map(sum, zip(*map(module.count, parts), strict=True)))
    assert counts == count_terms(whole) == (3 * 2 + 3 * 9 * 4, 5, 9)
    expected, squared = module.weighted_loss(whole)
    found = [module.weighted_loss(part, counts) for part in parts]
    torch.testing.assert_close(sum(loss for loss, _ in found), expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(sum(terms for _, terms in found), squared, rtol=1e-12, atol=0)
    means = sum(module.weighted_loss(part)[0] for part in parts) / 2
    assert abs(means - expected) > 1e-3 * expected, "control: the mean of the means is something else"
    del whole.weight
    unweighted, terms = module.weighted_loss(whole)
    torch.testing.assert_close(terms, squared, rtol=1e-12, atol=0)
    assert abs(unweighted - expected) > 1e-3 * expected, "control: weights change the loss, and not what is logged"


class _States(Callback):
    """Copies of all that a step may change, after each step."""

    def __init__(self) -> None:
        self.seen: list[dict[str, list[torch.Tensor]]] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        average = next(callback for callback in trainer.callbacks if isinstance(callback, WeightAveraging))
        assert average._average_model is not None
        optimizer = [t for state in trainer.optimizers[0].state.values() for t in state.values()]
        groups = {
            "weights": list(pl_module.parameters()),
            "average": list(average._average_model.parameters()),
            "optimizer": optimizer,
            "sums": [torch.tensor(pl_module._epoch_steps), pl_module._epoch_sums],
        }
        copies = {name: [t.detach().clone() for t in group if t is not None] for name, group in groups.items()}
        self.seen.append(copies)


def _poison(monkeypatch: pytest.MonkeyPatch, steps: Collection[int], where: str = "loss") -> _States:
    """Make the loss, or only its gradient, not finite in some steps, counted from 0; watch all steps."""
    states, loss, make = _States(), PotentialModule.weighted_loss, train_of_training._trainer

    def poisoned(self: PotentialModule, *arguments: Any) -> tuple[torch.Tensor, torch.Tensor]:
        value, squared = loss(self, *arguments)
        if self.steps not in steps:
            return value, squared
        if where == "loss":
            return value * torch.nan, squared * torch.nan
        value.register_hook(lambda gradient: gradient * torch.inf)
        return value, squared

    def watched(*arguments: Any) -> Any:
        trainer = make(*arguments)
        trainer.callbacks.append(states)
        return trainer

    monkeypatch.setattr(PotentialModule, "weighted_loss", poisoned)
    monkeypatch.setattr(train_of_training, "_trainer", watched)
    return states


@pytest.mark.slow
@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_step_that_is_not_finite_changes_nothing(
    settings: Settings, frames: list[Data], monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    states = _poison(monkeypatch, {5}, where).seen
    with pytest.warns(RuntimeWarning, match=r"must be finite, got .* in step 6 \(epoch 2\): the step is skipped"):
        train(settings(), frames=frames)
    for name in states[0]:
        same = [all(map(torch.equal, states[k][name], states[k - 1][name])) for k in range(1, 8)]
        assert same == [k == 5 for k in range(1, 8)], f"{name}: only step 5 may leave them as they were"
    rows = read_history(_history_path(settings()))
    assert [(row["step"], row["skipped_steps"]) for row in rows] == [(4, 0), (7, 1)]
    assert math.isfinite(rows[-1]["train_forces_rmse_meV_per_A"])
    checkpoint = torch.load(_history_path(settings()).with_name("last.ckpt"), weights_only=True)
    assert checkpoint["pyg_mpnn"]["steps"] == [8, 1, 0]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The loss and its gradient must be finite")
def test_ten_skipped_steps_in_a_row_lead_back_to_the_best_checkpoint(
    settings: Settings, frames: list[Data], monkeypatch: pytest.MonkeyPatch
) -> None:
    last = _history_path(settings()).with_name("last.ckpt")
    with monkeypatch.context() as patch:
        states = _poison(patch, range(6, 16)).seen
        with pytest.warns(
            RuntimeWarning, match=r"in step 16 .* 9 steps before it.* the best checkpoint .* with 1/2 of"
        ):
            train(settings(epochs=5), frames=frames)
    assert all(bool(tensor.isfinite().all()) for tensor in states[-1]["weights"] + states[-1]["optimizer"])
    assert torch.load(last, weights_only=True)["pyg_mpnn"]["steps"] == [20, 10, 0]
    rows = read_history(_history_path(settings()))
    assert [(row["step"], row["recoveries"]) for row in rows] == [(4, 0), (6, 0), (6, 0), (6, 1), (10, 1)]


@pytest.mark.filterwarnings("ignore:The loss and its gradient must be finite")
def test_ten_skipped_steps_before_a_checkpoint_end_the_training(
    settings: Settings, frames: list[Data], monkeypatch: pytest.MonkeyPatch
) -> None:
    _poison(monkeypatch, range(10))
    message = r"diverged: the loss .* in step 10 .* and in the 9 steps before it. No checkpoint had been written"
    with pytest.raises(FloatingPointError, match=message):
        train(settings(epochs=5, batch_size=1), frames=frames)


def test_diverged_training_is_an_error_before_a_checkpoint_is_written(settings: Settings, frames: list[Data]) -> None:
    settings_ = settings(learning_rate=1e30)
    message = r"The training diverged: the validation score is nan after epoch 1, valid_.*mae.* nan.*No checkpoint had"
    with pytest.warns(RuntimeWarning, match="skipped"), pytest.raises(FloatingPointError, match=message):
        train(settings_, frames=frames)
    assert not (_history_path(settings_).parent / "last.ckpt").exists()


def test_a_long_gradient_is_shortened(settings: Settings, frames: list[Data]) -> None:
    """To 0.5, a few times the usual length: at 10, one bad step spoiled hundreds."""
    lengths: list[float] = []

    def measure(optimizer: Optimizer, *_: object) -> None:
        seen = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        lengths.append(float(torch.stack([gradient.norm() for gradient in seen]).norm()))

    hook = register_optimizer_step_pre_hook(measure)
    try:
        train(settings(epochs=1, force_weight=1e4, optimizer="adamw"), frames=frames, report=False)
        assert lengths == pytest.approx(4 * [0.5], rel=1e-4)
        free = {"clip": 1e9, "out": settings().out + "-free"}
        train(settings(epochs=1, force_weight=1e4, optimizer="adamw", **free), frames=frames, report=False)
    finally:
        hook.remove()
    assert min(lengths[4:]) > 5, "control"


def test_a_model_that_is_not_its_description_is_not_trained(settings: Settings) -> None:
    potential = _module(settings()).potential
    potential.atomwise.extra = torch.nn.Linear(1, 1)
    with pytest.raises(TypeError, match=r"what its description says, .* atomwise.extra is Linear here, absent when"):
        PotentialModule(potential, settings())
