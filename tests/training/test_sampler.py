from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import BatchSampler
from torch_geometric.data import Batch, Data

from pyg_mpnn import Potential
from pyg_mpnn.data import ethanol, read_structures
from pyg_mpnn.training import PotentialModule, TrainingSettings, evaluate, train
from pyg_mpnn.training.sampler import BatchShare, BudgetBatchSampler, EpochSampler, divide, fill_batches


def _order(seed: int, epoch: int) -> list[int]:
    sampler = EpochSampler(50, seed)
    sampler.set_epoch(epoch)
    return list(sampler)


def test_order_depends_on_seed_and_epoch_alone() -> None:
    before = torch.get_rng_state()
    first = _order(3, 7)
    torch.rand(5)
    assert _order(3, 7) == first
    torch.set_rng_state(before)
    _order(3, 7)
    assert torch.equal(torch.get_rng_state(), before), "the global generator must not move"


def test_order_differs_between_epochs_and_seeds() -> None:
    orders = {tuple(_order(seed, epoch)) for seed in (0, 1, 2**31 - 1) for epoch in (0, 1)}
    assert len(orders) == 6


def test_every_structure_comes_once() -> None:
    assert sorted(_order(0, 0)) == list(range(50))
    assert len(EpochSampler(50, 0)) == 50


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_processes_share_each_batch_without_overlap(processes: int) -> None:
    shares = [BatchShare(BatchSampler(EpochSampler(13, 0), 6, drop_last=False), r, processes) for r in range(processes)]
    shares[0].sampler.set_epoch(2)  # type: ignore[attr-defined]
    for share in shares[1:]:
        share.sampler.set_epoch(2)  # type: ignore[attr-defined]
    order = EpochSampler(13, 0)
    order.set_epoch(2)
    whole = list(order)
    steps = list(zip(*shares, strict=True))
    assert [len(shares[-1])] == [len(steps)] == [3], "every process takes every step, also the last with one structure"
    for step, parts in enumerate(steps):
        assert sorted(index for part in parts for index in part) == sorted(whole[6 * step : 6 * step + 6])


def test_divided_batch_holds_each_structure_once_in_order() -> None:
    structures = ethanol("test")[:7]
    for parts, sizes in ((1, [7]), (3, [3, 2, 2]), (9, [1] * 7)):
        batches = divide(structures, parts)
        assert [batch.num_graphs for batch in batches] == sizes
        assert torch.equal(torch.cat([b.pos for b in batches]), torch.cat([s.pos for s in structures]))
    assert divide([], 2) == []


def test_processes_share_batches_by_atoms_too() -> None:
    sizes = [3, 9, 4, 9, 2, 7, 5, 9, 1]
    shares = [BatchShare(BudgetBatchSampler(sizes, 12, seed=3), rank, 2) for rank in range(2)]
    for share in shares:
        share.sampler.set_epoch(4)  # type: ignore[attr-defined]
    whole = BudgetBatchSampler(sizes, 12, seed=3)
    assert [sorted(a + b) for a, b in zip(*shares, strict=True)] != [sorted(batch) for batch in whole], "control"
    whole.sampler.set_epoch(4)
    assert [sorted(a + b) for a, b in zip(*shares, strict=True)] == [sorted(batch) for batch in whole]
    assert any(not batch for batch in shares[1]), "control: one process has nothing to compute in some step"


SILICON = Path(__file__).parents[1] / "data" / "assets" / "si.extxyz"
Settings = Callable[..., TrainingSettings]
SIZES = np.random.default_rng(0).integers(3, 700, 500).tolist()


def _epoch(epoch: int, seed: int = 1, sizes: list[int] = SIZES, budget: int = 2000) -> list[list[int]]:
    sampler = BudgetBatchSampler(sizes, budget, seed)
    sampler.sampler.set_epoch(epoch)
    return list(sampler)


@pytest.mark.parametrize("epoch", [0, 1, 7])
@pytest.mark.parametrize("sizes", [SIZES, [1] * 50, [5], list(range(1, 60)), [0, 3, 0]], ids=len)
def test_every_structure_comes_once_and_no_batch_exceeds_the_budget(epoch: int, sizes: list[int]) -> None:
    budget = 2000 if sizes is SIZES else max(max(sizes), 7)
    batches = _epoch(epoch, sizes=sizes, budget=budget)
    assert sorted(index for batch in batches for index in batch) == list(range(len(sizes)))
    assert max(sum(sizes[index] for index in batch) for batch in batches) <= budget
    assert all(batches)
    assert len(batches) == len(BudgetBatchSampler(sizes, budget, 1))


def test_batches_are_nearly_full() -> None:
    assert sum(SIZES) / (2000 * len(_epoch(0))) > 0.75  # structures of 350 on average: a sixth is lost at the end


def test_batch_sampler_order_depends_on_seed_and_epoch_alone() -> None:
    before = torch.get_rng_state()
    assert _epoch(3) == _epoch(3)
    assert torch.equal(torch.get_rng_state(), before), "the global generator must not move"
    different = [_epoch(3), _epoch(4), _epoch(3, seed=2)]
    assert different[0] != different[1] != different[2] != different[0]
    assert len(different[0]) == len(different[1])


def test_companions_change_from_epoch_to_epoch() -> None:
    first, second = ({frozenset(batch) for batch in _epoch(epoch)} for epoch in (0, 1))
    assert len(first & second) < 0.1 * len(first)


def test_evaluation_keeps_the_order() -> None:
    batches = fill_batches(SIZES, 2000)
    assert [index for batch in batches for index in batch] == list(range(500))
    sums = [sum(SIZES[index] for index in batch) for batch in batches]
    assert max(sums) <= 2000
    assert all(one + SIZES[batch[0]] > 2000 for one, batch in zip(sums, batches[1:], strict=False)), "greedy"


def test_structure_above_the_budget_is_an_error() -> None:
    message = r"'batch_atoms' must be at least the size of the largest structure \(9\), got 5, which structure 1 \(7\)"
    with pytest.raises(ValueError, match=message):
        BudgetBatchSampler([3, 7, 9], 5, 0, "batch_atoms")


@pytest.fixture
def mixed() -> list[Data]:
    return [*ethanol("train")[:10], *read_structures(SILICON)]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "budget"), [("batch_atoms", 70), ("batch_edges", 2000)])
def test_training_by_budget_sees_all_and_resumes_exactly(
    settings: Settings, mixed: list[Data], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, budget: int
) -> None:
    seen: list[tuple[int, int, list[float]]] = []
    step = PotentialModule.training_step

    def watch(self: PotentialModule, parts: list[Batch], batch_idx: int) -> None:
        (batch,) = parts
        assert (batch.num_nodes if name == "batch_atoms" else batch.num_edges) <= budget
        seen.append((self.current_epoch, batch.num_graphs, batch.energy.tolist()))
        step(self, parts, batch_idx)

    monkeypatch.setattr(PotentialModule, "training_step", watch)
    base = settings(epochs=3, dtype="float64", **{name: budget})
    whole = train(base, frames=mixed)
    for epoch in range(3):
        energies = [energy for one, _, energies in seen if one == epoch for energy in energies]
        assert len(set(energies)) == len(energies) == 10
    assert len({graphs for _, graphs, _ in seen}) > 1, "control: the number of structures varies"

    steps = len(seen) // 3
    seen.clear()
    cut = dataclasses.replace(base, out=str(tmp_path / "cut"))

    def stop(self: PotentialModule, batch: list[Batch], batch_idx: int) -> None:
        if self.global_step == 2 * steps + 1:
            raise RuntimeError("power cut")
        step(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(PotentialModule, "training_step", stop)
        with pytest.raises(RuntimeError, match=r"power cut"):
            train(cut, frames=mixed)
    resumed = train(dataclasses.replace(cut, resume=True), frames=mixed)
    for one, other in zip(whole.potential.parameters(), resumed.potential.parameters(), strict=True):
        assert torch.equal(one, other)


def test_evaluation_by_budget_has_the_same_errors(mixed: list[Data]) -> None:
    potential = Potential.from_size("small", num_layers=1).double().eval()
    by_number, by_atoms, by_edges = (
        evaluate(potential, mixed, **options).summary()
        for options in ({"batch_size": 3}, {"batch_atoms": 64}, {"batch_edges": 4000})
    )
    assert by_atoms == pytest.approx(by_number, rel=1e-9)
    assert by_edges == pytest.approx(by_number, rel=1e-9)


def test_two_budgets_are_an_error(settings: Settings) -> None:
    with pytest.raises(
        ValueError, match=r"'batch_atoms' and 'batch_edges' exclude each other, got 10 and 20: give one"
    ):
        settings(batch_atoms=10, batch_edges=20)
    with pytest.raises(ValueError, match=r"'batch_edges' must be positive, got 0"):
        settings(batch_edges=0)


def test_structure_above_the_budget_is_an_error_before_the_training(settings: Settings, mixed: list[Data]) -> None:
    base = settings(batch_edges=72)
    with pytest.raises(
        ValueError, match=r"test structures: 'batch_atoms' must be .* \(64\), got 10, which structure 10 \(12\)"
    ):
        train(settings(batch_atoms=10), frames=mixed[:10], test=mixed)
    with pytest.raises(ValueError, match=r"training structures: 'batch_edges' must be at least .*, got 72, which"):
        train(base, frames=mixed)
    with pytest.raises(ValueError, match=r"validation structures: 'batch_edges' must be at least .*, got 72, which"):
        train(settings(batch_edges=72, seed=9, valid_size=1), frames=[*ethanol("train")[:1], mixed[-1]])
    assert not Path(base.out).exists()
