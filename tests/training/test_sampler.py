from __future__ import annotations

import pytest
import torch
from torch.utils.data import BatchSampler

from pyg_mpnn.data import ethanol
from pyg_mpnn.training.batch_sampler import BudgetBatchSampler
from pyg_mpnn.training.sampler import BatchShare, EpochSampler, divide


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
