"""The shifted softplus: its formula, and smooth."""

from __future__ import annotations

import torch

from pyg_mpnn import MLP, ShiftedSoftplus
from pyg_mpnn.testing import assert_gradients


def test_formula_written_out(dtype):
    x = torch.linspace(-15.0, 15.0, 31)
    expected = torch.log(0.5 * torch.exp(x) + 0.5)
    torch.testing.assert_close(ShiftedSoftplus()(x), expected, rtol=1e-5, atol=1e-6)
    assert ShiftedSoftplus()(x).dtype == dtype


def test_zero_gives_zero_and_half_the_slope():
    x = torch.zeros((), requires_grad=True)
    value = ShiftedSoftplus()(x)
    assert abs(float(value.detach())) < 1e-7
    assert float(torch.autograd.grad(value, x)[0]) == 0.5


def test_second_derivatives():
    assert_gradients(ShiftedSoftplus(), [torch.linspace(-3.0, 3.0, 5, dtype=torch.float64)])


def test_in_the_dense_network():
    """The network takes it, and a shift of the bias says what it does more than softplus."""
    network, plain = MLP([3, 5, 1], ShiftedSoftplus()), MLP([3, 5, 1], torch.nn.Softplus())
    plain.load_state_dict(network.state_dict())
    x = torch.randn(4, 3)
    shift = torch.log(torch.tensor(2.0)) * network.linears[1].weight.sum()
    torch.testing.assert_close(plain(x) - network(x), shift.expand(4, 1))
