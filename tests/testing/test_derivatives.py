"""The laws of derivatives pass for right gradients and catch wrong ones."""

from __future__ import annotations

import pytest
import torch

from pyg_mpnn.testing import assert_forces_law, assert_gradients, assert_momentum_law


def energy_and_forces(data):
    """Springs between all atoms: linear in the square of distances plus a cubic term."""
    pos = data.pos.detach().requires_grad_()
    square = (pos.unsqueeze(0) - pos.unsqueeze(1)).square().sum(dim=-1)
    energy = (square + 0.1 * square**1.5).sum().unsqueeze(0)
    return energy, -torch.autograd.grad(energy.sum(), pos)[0]


def noisy(change):
    """The same energy with changed forces."""

    def function(data):
        energy, forces = energy_and_forces(data)
        return energy, change(forces)

    return function


@pytest.fixture
def molecule(water):
    water.pos = water.pos.double()
    return water


def test_forces_law(molecule):
    assert assert_forces_law(energy_and_forces, molecule) < 1e-9
    assert_momentum_law(energy_and_forces(molecule)[1])
    assert_momentum_law(torch.zeros(1, 3))


@pytest.mark.parametrize(
    "change",
    [
        lambda forces: -forces,
        lambda forces: 1.00001 * forces,
        lambda forces: forces.float().double().round(decimals=4),
        lambda forces: torch.zeros_like(forces),
        lambda forces: forces * torch.nan,
    ],
)
def test_forces_law_catches(change, molecule):
    with pytest.raises(AssertionError, match="forces law broken"):
        assert_forces_law(noisy(change), molecule)


def test_momentum_law_catches(molecule):
    with pytest.raises(AssertionError, match="momentum law broken"):
        assert_momentum_law(energy_and_forces(molecule)[1] + 1e-6)


def test_forces_law_needs_float64(water):
    with pytest.raises(ValueError, match=r"'data.pos' must be float64 .* got torch.float32"):
        assert_forces_law(energy_and_forces, water)


class Detached(torch.autograd.Function):
    """x^2 whose derivative carries no graph: right once, wrong twice."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * 2 * x.detach()


@pytest.mark.parametrize("fast", [False, True])
def test_gradients(fast):
    x = torch.tensor([0.3, 1.2], dtype=torch.float64)
    assert_gradients(torch.sin, [x], fast=fast)
    assert_gradients(Detached.apply, [x], second=False, fast=fast)
    with pytest.raises(AssertionError, match="gradient law broken"):
        assert_gradients(Detached.apply, [x], fast=fast)
    with pytest.raises(AssertionError, match="gradient law broken"):
        assert_gradients(lambda x: x.detach() * x, [x], second=False, fast=fast)
    with pytest.raises(ValueError, match="'inputs' must hold a float64 tensor"):
        assert_gradients(torch.sin, [x.float()])
