from __future__ import annotations

import torch

from pyg_mpnn.training.sampler import EpochSampler


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
