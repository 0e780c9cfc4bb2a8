from __future__ import annotations

import pytest
import torch

from pyg_mpnn import Contraction, DensityPowers, DirectionalBasis
from pyg_mpnn.basis import degrees
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


def build_powers():
    return DensityPowers(2, l_max=2, out_channels=3)


def call_powers(module, inputs):
    return module(inputs.density)


def test_powers_laws(laws):
    laws(build_powers, call_powers, "nodes", leaves_smoothly=True)


def test_formula_written_out(ethanol, inputs):
    """Anchor: asinh(sum_m (A W_l)_mk (A W'_l)_mk / (2l+1))."""
    layer, given = build_powers(), inputs(ethanol)
    expected = []
    for l in range(3):
        part = given.density[:, degrees(2) == l]
        expected.append(((part @ layer.first[l]) * (part @ layer.second[l])).sum(dim=1) / (2 * l + 1))
    torch.testing.assert_close(call_powers(layer, given), torch.cat(expected, dim=1).asinh())


def test_angle_is_seen(water, inputs):
    """Opening the angle of water at fixed bond lengths changes the powers of l >= 1 at the O, not those of l = 0."""
    layer = build_powers()
    before = call_powers(layer, inputs(water, 1.2))[0]
    water.pos[1] = water.pos[0] + (water.pos[1] - water.pos[0]).norm() * torch.tensor([0.0, 0.0, 1.0])
    change = call_powers(layer, inputs(water, 1.2))[0] - before
    assert change[:3].abs().max() < 1e-5
    assert change[3:].abs().min() > 1e-5


def test_second_derivatives_exist_where_the_density_vanishes():
    assert_gradients(build_powers().double(), [torch.zeros(1, 9, 2, dtype=torch.float64)])


def test_powers_symmetry():
    assert build_powers().symmetry("equivariant") == "invariant"
    assert build_powers().symmetry("unconstrained") == "unconstrained"


def test_powers_repr_names_the_sizes():
    assert repr(build_powers()) == "DensityPowers(2, l_max=2, out_channels=3)"


@pytest.mark.parametrize("arguments", [(0, 2, 3), (2, 2, 0)])
def test_widths_must_be_positive(arguments):
    with pytest.raises(ValueError, match=r"'\w+' must be at least 1, got"):
        DensityPowers(*arguments)
