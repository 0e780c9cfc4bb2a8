"""Contraction: invariant products, and the addition theorem."""

from __future__ import annotations

import pytest
import torch

from pyg_mpnn import Contraction, DirectionalBasis
from pyg_mpnn.testing import assert_gradients


def build():
    return Contraction(l_max=2)


def call(module, inputs):
    return module(inputs.density, inputs.density + inputs.density.flip(-1))


def test_laws(laws):
    laws(build, call, "nodes", leaves_smoothly=True)


def test_control_sums_over_other_components_are_not_invariant(laws):
    with pytest.raises(AssertionError, match="rotation law broken"):
        laws(build, lambda module, inputs: module(inputs.density, inputs.density.flip(1)), "nodes")


def test_addition_theorem(dtype):
    """Of two directions: the Legendre polynomials of the angle between them, P_l(cos)."""
    first, second = (torch.nn.functional.normalize(torch.randn(6, 3), dim=-1) for _ in range(2))
    basis = DirectionalBasis(2)
    cos = (first * second).sum(dim=-1)
    expected = torch.stack([torch.ones_like(cos), cos, 1.5 * cos**2 - 0.5], dim=-1)
    found = build()(basis(first).unsqueeze(-1), basis(second).unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(found, expected, rtol=0.0, atol=1e-14 if dtype == torch.float64 else 1e-6)


def test_one_channel_meets_all_channels(ethanol, inputs):
    given = inputs(ethanol)
    target = given.edge_index[1]
    found = build()(given.density[target], given.sphere.unsqueeze(-1))
    assert found.shape == (len(target), 3, 2)
    torch.testing.assert_close(found[:, 0], given.density[target, 0])
    expected = (given.density[target, 1:4] * given.sphere[:, 1:4, None]).sum(dim=1) / 3
    torch.testing.assert_close(found[:, 1], expected)


def test_derivatives_exist_where_the_features_vanish():
    """As they do by symmetry at crystal sites: there is no square root."""
    assert_gradients(lambda value: build().double()(value, value), [torch.zeros(1, 9, 1, dtype=torch.float64)])


def test_symmetry():
    assert build().symmetry("equivariant", "equivariant") == "invariant"
    assert build().symmetry("equivariant", "unconstrained") == "unconstrained"
    assert build().symmetry("invariant", "equivariant") == "unconstrained"


def test_repr_names_the_sizes():
    assert repr(build()) == "Contraction(l_max=2)"
