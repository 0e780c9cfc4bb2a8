"""The dense network: by hand, smooth, reproducible."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pyg_mpnn import MLP
from pyg_mpnn.testing import assert_copies_law, assert_gradients, assert_reset_law


def test_by_hand():
    network = MLP([2, 1, 1])
    with torch.no_grad():
        for linear, weight, bias in zip(network.linears, ([[1.0, 2.0]], [[3.0]]), (0.5, -1.0), strict=True):
            linear.weight.copy_(torch.tensor(weight))
            linear.bias.fill_(bias)
    inner = torch.tensor(1.0 + 4.0 + 0.5)
    expected = 3.0 * inner * torch.sigmoid(inner) - 1.0
    torch.testing.assert_close(network(torch.tensor([[1.0, 2.0]])), expected.reshape(1, 1))


def test_equals_torch_layers(dtype):
    network = MLP([3, 5, 4, 2], nn.Tanh())
    plain = nn.Sequential(network.linears[0], nn.Tanh(), network.linears[1], nn.Tanh(), network.linears[2])
    x = torch.randn(7, 3)
    assert torch.equal(network(x), plain(x))
    assert network(x).dtype == dtype


def test_last_layer_is_linear_unless_asked():
    x = torch.linspace(-20.0, 20.0, 9).unsqueeze(-1)
    torch.manual_seed(0)
    linear = MLP([1, 4])(x)
    torch.testing.assert_close(linear, -linear.flip(0))  # odd, as biases start at zero
    torch.manual_seed(0)
    torch.testing.assert_close(MLP([1, 4], activate_last=True)(x), nn.functional.silu(linear))


def test_without_bias_zero_gives_zero():
    network = MLP([3, 5, 2], bias=False)
    assert (network(torch.zeros(1, 3)) == 0.0).all()
    assert len(list(network.parameters())) == 2


def test_leading_axes_are_free_and_may_be_empty():
    network = MLP([3, 2])
    assert network(torch.ones(4, 5, 3)).shape == (4, 5, 2)
    assert network(torch.ones(0, 3)).shape == (0, 2)


def test_weights_are_glorot_and_biases_zero():
    network = MLP([200, 100])
    bound = (6 / 300) ** 0.5
    weight = network.linears[0].weight.detach()
    assert weight.abs().max() <= bound
    assert weight.std() == pytest.approx(bound / 3**0.5, rel=0.02)
    assert (network.linears[0].bias == 0.0).all()


@pytest.mark.parametrize("activation", [nn.SiLU, nn.Tanh, nn.Sigmoid, nn.Softplus, nn.GELU, nn.Mish])
def test_gradients(activation):
    network = MLP([3, 4, 2], activation()).double()
    assert_gradients(network, [torch.randn(3, 3, dtype=torch.float64)], fast=True)


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.LeakyReLU(), nn.ELU(), nn.Hardswish()])
def test_activations_with_a_kink_are_refused(activation):
    name = type(activation).__name__
    with pytest.raises(TypeError, match=f"'activation' must be infinitely differentiable .* got {name}"):
        MLP([3, 4, 2], activation)


@pytest.mark.parametrize("channels", [[], [3], [3, 0, 2]])
def test_widths_must_be_positive(channels):
    with pytest.raises(ValueError, match=r"'channels' must (hold two or more widths|be at least 1), got"):
        MLP(channels)


def test_copies_reset_and_repr():
    assert_copies_law(lambda: MLP([3, 4, 2]), lambda module: module(torch.ones(2, 3)))
    assert_reset_law(MLP([3, 4, 2]))
    assert repr(MLP([3, 4, 2])) == "MLP([3, 4, 2], SiLU())"
