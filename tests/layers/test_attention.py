"""Attention: the laws, small graphs by hand, and smoothness when neighbours leave."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from pyg_mpnn import Attention, SigmoidAttention, SoftmaxAttention

BOTH = pytest.mark.parametrize("kind", [SigmoidAttention, SoftmaxAttention])


def call(module, inputs):
    return module(inputs.x, inputs.edge_index, torch.sin(3.0 * inputs.radial[:, [0, 1, 2, 0]]), inputs.envelope)


def weighted_sum(module, inputs):
    """What attention is for: the sum of messages with their weights and the cutoff function."""
    alpha = call(module, inputs).sum(dim=-1) * inputs.envelope
    value = alpha.unsqueeze(-1) * (1.0 + inputs.radial**2)
    return torch.zeros_like(inputs.x[:, :3]).index_add(0, inputs.edge_index[1], value)


@BOTH
@pytest.mark.parametrize("heads", [1, 2])
def test_laws(laws, kind, heads):
    laws(lambda: kind(4, edge_dim=4, heads=heads), call, "edges", runs="edge_updater")


@BOTH
def test_weighted_sum_is_smooth_at_the_cutoff(laws, kind):
    laws(lambda: kind(4, edge_dim=4), weighted_sum, "nodes", leaves_smoothly=True)


def fixed_scores(kind):
    """A layer whose scores are ``edge_attr`` itself."""
    layer = kind(1, edge_dim=1)
    nn.init.zeros_(layer.query.weight)
    nn.init.ones_(layer.query.bias)
    return layer


def test_sigmoid_by_hand():
    layer = fixed_scores(SigmoidAttention)
    edge_index = torch.tensor([[1, 2, 0], [0, 0, 1]])
    alpha = layer(torch.zeros(3, 1), edge_index, torch.tensor([[0.0], [math.log(3.0)], [-1.0]]), torch.ones(3))
    torch.testing.assert_close(alpha, torch.tensor([[0.5], [0.75], [1 / (1 + math.e)]]))


def test_softmax_by_hand():
    """Atom 0 with neighbours of weight f e^s = 0.5 * 1 and 0.25 * 3, and 1 for no neighbour; atom 1 with 1 * 1/e."""
    layer = fixed_scores(SoftmaxAttention)
    edge_index = torch.tensor([[1, 2, 0], [0, 0, 1]])
    envelope = torch.tensor([0.5, 0.25, 1.0])
    alpha = layer(torch.zeros(3, 1), edge_index, torch.tensor([[0.0], [math.log(3.0)], [-1.0]]), envelope)
    torch.testing.assert_close(alpha.flatten(), torch.tensor([0.5 / 2.25, 0.75 / 2.25, 1 / (1 + math.e)]))


def test_softmax_weights_are_positive_and_sum_to_less_than_one(ethanol, inputs):
    given = inputs(ethanol)
    alpha = call(SoftmaxAttention(4, edge_dim=4, heads=2), given)
    total = torch.zeros(9, 2).index_add(0, given.edge_index[1], alpha)
    assert (alpha > 0.0).all()
    assert (total < 1.0).all()


@pytest.mark.parametrize("score", [-1e4, -50.0, 50.0])
def test_softmax_with_extreme_scores(score):
    """One of two neighbours scores far off the other: finite, with finite first and second derivatives."""
    layer = fixed_scores(SoftmaxAttention)
    for last in (0.5, 1e-3):
        scores = torch.tensor([[0.3], [score]], requires_grad=True)
        envelope = torch.tensor([0.5, last], requires_grad=True)
        alpha = layer(torch.zeros(3, 1), torch.tensor([[1, 2], [0, 0]]), scores, envelope)
        gradients = torch.autograd.grad(alpha.square().sum(), (scores, envelope), create_graph=True)
        second = torch.autograd.grad(sum(value.sum() for value in gradients), (scores, envelope))
        assert all(value.isfinite().all() for value in (alpha, *gradients, *second))


def test_softmax_when_the_last_neighbour_leaves():
    """The weight goes to zero as f_c does, and a neighbour outside counts as none."""
    layer = fixed_scores(SoftmaxAttention)
    edge_index, x = torch.tensor([[1], [0]]), torch.zeros(2, 1)
    for envelope in (1e-3, 1e-6, 0.0):
        weight = layer(x, edge_index, torch.tensor([[2.0]]), torch.tensor([envelope]))
        assert weight.item() == pytest.approx(envelope * math.exp(2.0), rel=0.02)


@pytest.mark.parametrize("score", [2.0, 200.0, 1e4])
def test_softmax_neighbour_at_the_cutoff_counts_as_none_whatever_it_scores(score):
    """Cutoff functions reach 0 inside the cutoff in floating point (the bump already at 0.2 % of it)."""
    layer = fixed_scores(SoftmaxAttention)
    scores = torch.tensor([[0.3], [score]], requires_grad=True)
    alpha = layer(torch.zeros(3, 1), torch.tensor([[1, 2], [0, 0]]), scores, torch.tensor([0.5, 0.0]))
    expected = 0.5 * math.exp(0.3) / (1.0 + 0.5 * math.exp(0.3))
    torch.testing.assert_close(alpha.flatten().detach(), torch.tensor([expected, 0.0]))
    assert torch.autograd.grad(alpha.sum(), scores)[0].isfinite().all()


def test_softmax_does_not_depend_on_the_shift_of_the_exponents():
    """M carries no gradient and needs none: the gradient equals that of the formula without M."""
    layer = fixed_scores(SoftmaxAttention)
    edge_index = torch.tensor([[1, 2, 3], [0, 0, 0]])
    scores, envelope = torch.tensor([[0.3], [1.2], [-0.4]], requires_grad=True), torch.tensor([0.5, 0.8, 0.1])
    alpha = layer(torch.zeros(4, 1), edge_index, scores, envelope)
    plain = envelope * scores.flatten().exp()
    plain = plain / (1.0 + plain.sum())
    torch.testing.assert_close(alpha.flatten(), plain)
    weights = torch.tensor([1.0, -2.0, 0.5])
    found, expected = (torch.autograd.grad(value.flatten() @ weights, scores)[0] for value in (alpha, plain))
    torch.testing.assert_close(found, expected)


def test_each_head_reads_its_own_channels(ethanol, inputs):
    given = inputs(ethanol)
    layer = SigmoidAttention(4, edge_dim=4, heads=2)
    message = torch.randn(given.edge_index.shape[1], 4)
    before = layer(given.x, given.edge_index, message, given.envelope)
    message[:, 2:] += 1.0
    after = layer(given.x, given.edge_index, message, given.envelope)
    assert torch.equal(before[:, 0], after[:, 0])
    assert (before[:, 1] - after[:, 1]).abs().min() > 0.0


@BOTH
def test_symmetry_and_repr(kind):
    assert kind(4, 4).symmetry("invariant", "invariant") == "invariant"
    assert kind(4, 4).symmetry("invariant", "unconstrained") == "unconstrained"
    assert repr(kind(4, 6, heads=2)) == f"{kind.__name__}(4, 6, heads=2)"


@BOTH
@pytest.mark.parametrize("arguments", [(0, 4, 1), (4, 0, 1), (4, 4, 0), (4, 4, 3)])
def test_widths_must_fit(kind, arguments):
    with pytest.raises(ValueError, match=r"'\w+' must be (at least 1|a multiple of 'heads'), got"):
        kind(*arguments)


def test_interface_is_abstract():
    with pytest.raises(TypeError, match="abstract"):
        Attention(4, 4)
