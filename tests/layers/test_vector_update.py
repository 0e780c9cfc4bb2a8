"""VectorUpdate: the laws, and the formula written out."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pyg_mpnn import VectorUpdate
from pyg_mpnn.basis import degrees
from pyg_mpnn.testing import assert_gradients


def build():
    return VectorUpdate(2)


def call(module, inputs):
    x, vec = module(inputs.x[:, :2], inputs.density[:, 1:4])
    return torch.cat([x.unsqueeze(1), vec], dim=1)  # components of l = 0 and l = 1


def test_laws(laws):
    laws(build, call, "nodes", degrees(1), leaves_smoothly=True)


def test_formula_written_out(ethanol, inputs):
    layer, given = build(), inputs(ethanol)
    matrix_v, matrix_u = layer.mix.weight.chunk(2)
    for x, vec, new in zip(given.x[:, :2], given.density[:, 1:4], call(layer, given), strict=True):
        mixed, other = vec @ matrix_u.T, vec @ matrix_v.T
        gates = layer.mlp(torch.cat([x, ((other**2).sum(dim=0) + 1e-8) ** 0.5]))
        torch.testing.assert_close(new[0], x + gates[:2] + gates[4:] * (mixed * other).sum(dim=0))
        torch.testing.assert_close(new[1:], vec + gates[2:4] * mixed)


def test_vectors_change_the_scalars(ethanol, inputs):
    layer, given = build(), inputs(ethanol)
    without = call(layer, given._replace(density=torch.zeros_like(given.density)))
    assert (call(layer, given)[:, 0] - without[:, 0]).abs().max() > 1e-3
    assert (without[:, 1:] == 0.0).all()


def test_second_derivatives_exist_where_vectors_vanish():
    x, vec = torch.ones(1, 2, dtype=torch.float64), torch.zeros(1, 3, 2, dtype=torch.float64)
    layer = VectorUpdate(2, eps=1e-2).double()
    assert_gradients(lambda *given: torch.cat([part.flatten() for part in layer(*given)]), [x, vec])


def test_symmetry():
    assert build().symmetry("invariant", "equivariant") == ("invariant", "equivariant")
    assert build().symmetry("invariant", "unconstrained") == ("unconstrained", "unconstrained")
    assert build().symmetry("unconstrained", "equivariant") == ("unconstrained", "unconstrained")


def test_repr_names_the_sizes():
    assert repr(build()) == "VectorUpdate(2, SiLU(), eps=1e-08)"


def test_sizes_must_make_sense():
    with pytest.raises(ValueError, match="'channels' must be at least 1, got 0"):
        VectorUpdate(0)
    with pytest.raises(ValueError, match="'eps' must be positive and finite, got 0"):
        VectorUpdate(2, eps=0.0)


def test_activation_must_be_smooth():
    with pytest.raises(TypeError, match="'activation' must be infinitely differentiable"):
        VectorUpdate(2, nn.ReLU())
