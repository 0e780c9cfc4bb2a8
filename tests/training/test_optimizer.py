from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from pyg_mpnn import AtomEmbedding, Potential
from pyg_mpnn.training import TrainingSettings, train
from pyg_mpnn.training.optimizer import LEARNING_RATES, Muon, make_optimizer, orthogonalize


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(5, 5), (12, 4), (3, 4, 12)])
def test_singular_values_come_near_one(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    found = torch.linalg.svdvals(orthogonalize(torch.randn(shape, dtype=dtype)))
    assert found.dtype == dtype
    assert bool((found > 0.3).all())
    assert bool((found < 1.3).all())


def test_singular_vectors_stay() -> None:
    left, right = (torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64))[0] for _ in range(2))
    values = torch.tensor([3.0, 2.0, 1.5, 1.0, 0.7, 0.5], dtype=torch.float64)
    between = left.T @ orthogonalize(left @ torch.diag(values) @ right.T) @ right
    assert torch.allclose(between, torch.diag(between.diagonal()), atol=1e-12)


def test_a_gradient_of_zero_stays_zero() -> None:
    assert not bool(orthogonalize(torch.zeros(3, 4)).any())


def test_matrices_of_one_shape_do_not_mix() -> None:
    """What is orthogonalized together gives the steps of each alone."""
    model = torch.nn.ModuleList(torch.nn.Linear(4, 4, bias=False) for _ in range(3))
    alone = copy.deepcopy(model[1])
    for optimizer in (Muon(model, lr=0.1), Muon(alone, lr=0.1)):
        for weight in (weight for group in optimizer.param_groups for weight in group["params"]):
            weight.grad = weight.detach().clone().square()
        optimizer.step()
    assert torch.allclose(model[1].weight, alone.weight, atol=1e-6)


def test_a_step_has_the_size_of_adams() -> None:
    """0.2 of the learning rate in the root mean square, as for AdamW in a long training."""
    layer = torch.nn.Linear(64, 32, bias=False)
    before = layer.weight.detach().clone()
    layer.weight.grad = torch.randn_like(layer.weight)
    Muon(layer, lr=0.01).step()
    rms = (layer.weight.detach() - before).square().mean().sqrt().item()
    assert rms == pytest.approx(0.2 * 0.01, rel=0.3)


def test_vectors_tables_and_rows_are_adams() -> None:
    model = torch.nn.ModuleList([AtomEmbedding(8), torch.nn.Linear(8, 4), torch.nn.Linear(4, 1)])
    muon, adam = Muon(model, lr=0.1).param_groups
    assert [tuple(weight.shape) for weight in muon["params"]] == [(4, 8)]
    assert sorted(tuple(weight.shape) for weight in adam["params"]) == [(1,), (1, 4), (4,), (118, 8)]
    twin = copy.deepcopy(model)
    optimizers = Muon(model, lr=0.1, weight_decay=0.3), torch.optim.AdamW(twin.parameters(), lr=0.1, weight_decay=0.3)
    for part, optimizer in zip((model, twin), optimizers, strict=True):
        for weight in part.parameters():
            weight.grad = torch.full_like(weight, 0.5)
        optimizer.step()
    assert torch.equal(model[1].bias, twin[1].bias)
    assert torch.equal(model[2].weight, twin[2].weight)
    assert not torch.equal(model[1].weight, twin[1].weight)


def test_frozen_weights_stay() -> None:
    layer = torch.nn.Linear(4, 4)
    layer.weight.requires_grad_(False)
    before = layer.weight.clone()
    optimizer = Muon(layer, lr=0.1)
    layer(torch.ones(1, 4)).sum().backward()
    optimizer.step()
    assert torch.equal(layer.weight, before)


def test_goes_on_from_its_state() -> None:
    model = torch.nn.Linear(4, 4)
    optimizer = Muon(model, lr=0.1)
    steps = torch.randn(4, 4, 4)

    def step(model: torch.nn.Module, optimizer: Muon, k: int) -> None:
        model.weight.grad, model.bias.grad = steps[k].clone(), steps[k, 0].clone()  # type: ignore[union-attr]
        optimizer.step()

    step(model, optimizer, 0)
    step(model, optimizer, 1)
    later = copy.deepcopy(model)
    resumed = Muon(later, lr=0.5)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for k in (2, 3):
        step(model, optimizer, k)
        step(later, resumed, k)
    assert torch.equal(model.weight, later.weight)
    assert torch.equal(model.bias, later.bias)


def test_by_name() -> None:
    model = Potential.from_size("small")
    assert isinstance(make_optimizer("muon", model, 1e-2, 0.0), Muon)
    assert type(make_optimizer("adamw", model, 1e-3, 0.0)) is torch.optim.AdamW
    assert type(make_optimizer("torch.optim:RMSprop", model, 1e-3, 0.0)) is torch.optim.RMSprop
    assert set(LEARNING_RATES) == {"muon", "adamw"}
    with pytest.raises(ValueError, match=r"'optimizer' must be muon, adamw or package.module:Class, got 'adam'"):
        make_optimizer("adam", model, 1e-3, 0.0)
    with pytest.raises(TypeError, match=r"must name a subclass of torch.optim.Optimizer, got 'torch.nn:Linear'"):
        make_optimizer("torch.nn:Linear", model, 1e-3, 0.0)


def test_an_unknown_name_is_an_error_before_the_data_are_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'optimizer' must be .*, got 'adam'"):
        train(TrainingSettings("absent.xyz", str(tmp_path / "run"), optimizer="adam"))
    assert not (tmp_path / "run").exists()


def test_no_matrices_are_none() -> None:
    for shape in ((0, 5), (3, 0, 5), (0, 4, 5)):
        assert orthogonalize(torch.zeros(shape)).shape == shape
