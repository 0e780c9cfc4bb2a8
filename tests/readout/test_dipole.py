from __future__ import annotations

import pytest
import torch

from pyg_mpnn.readout import DipoleReadout

Q = torch.tensor([-0.8, 0.4, 0.4, 0.3, -0.1])
BATCH = torch.tensor([0, 0, 0, 1, 1])


def positions(water, dtype):
    return torch.cat([water.pos, torch.tensor([[1.0, 2.0, 3.0], [1.0, 2.0, 1.0]], dtype=dtype)])


def test_charges_of_water_and_a_pair_have_their_dipoles(water, dtype):
    found = DipoleReadout()(Q.to(dtype), positions(water, dtype), BATCH, 2)
    # water: 0.8 e times the height of the triangle; the pair with charges of 0.2 and -0.2 e at 2 A
    torch.testing.assert_close(found, torch.tensor([0.8 * 0.5963, 0.4], dtype=dtype))


def test_origin_rotation_and_net_charge_do_not_matter(water, dtype):
    pos, readout = positions(water, dtype), DipoleReadout()
    expected = readout(Q.to(dtype), pos, BATCH, 2)
    turn, _ = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))
    moved = -pos @ turn.to(dtype) + torch.tensor([3.0, -2.0, 5.0])
    torch.testing.assert_close(readout(Q.to(dtype) + 0.7, moved, BATCH, 2), expected, rtol=1e-4, atol=1e-4)


def test_zero_dipole_has_a_finite_gradient(dtype):
    pos = torch.tensor([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]], dtype=dtype, requires_grad=True)
    q = torch.ones(2, dtype=dtype, requires_grad=True)
    found = DipoleReadout()(q, pos, torch.zeros(2, dtype=torch.long), 2)  # and an empty molecule
    assert found.tolist() == [0.0, 0.0]
    found.sum().backward()
    assert pos.grad.abs().max() == q.grad.abs().max() == 0.0


def test_gradients(water):
    pos, q = positions(water, torch.float64).double().requires_grad_(), Q.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: DipoleReadout()(a, b, BATCH, 2), (q, pos))


def test_columns_of_charges_are_refused(water, unchecked):
    """Broadcasting would multiply every charge with every position."""
    for wrong in ([Q[:, None], BATCH], [Q, BATCH[:, None]], [Q[:3], BATCH]):
        with pytest.raises(
            ValueError, match="'q' must hold one number for each atom, 'pos' three and 'batch' one, got"
        ):
            DipoleReadout()(wrong[0], positions(water, torch.float32), wrong[1], 2)
