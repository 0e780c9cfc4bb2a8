from __future__ import annotations

import torch

from pyg_mpnn.models.structure import read_structure
from pyg_mpnn.models.variables import gradients, make_variables


def structure():
    tensors = [None] * 5
    return read_structure(torch.tensor([1, 1]), torch.tensor([[0.0] * 3, [1.0] * 3]), *tensors)


def test_gradients_inside_inference_mode():
    with torch.inference_mode():
        with gradients(enabled=False):
            assert torch.is_inference_mode_enabled()
            assert structure().pos.is_inference()
        with gradients(enabled=True):
            made = structure()
            pos, strain = make_variables(made, stress=True)
            assert strain is not None
            (slope,) = torch.autograd.grad((pos + strain[0, 0]).square().sum(), [pos])
    assert torch.equal(slope, 2 * made.pos)


def test_positions_that_require_a_gradient_stay_the_leaf():
    made = structure()
    made.pos.requires_grad_()
    assert make_variables(made, stress=False) == (made.pos, None)
    fresh, _ = make_variables(structure(), stress=False)
    assert fresh.requires_grad
    assert fresh.is_leaf
