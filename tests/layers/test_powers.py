"""DensityPowers: the laws, and the formula written out."""

from __future__ import annotations

import pytest
import torch

from pyg_mpnn import DensityPowers
from pyg_mpnn.basis import degrees
from pyg_mpnn.testing import assert_gradients


def build():
    return DensityPowers(2, l_max=2, out_channels=3)


def call(module, inputs):
    return module(inputs.density)


def test_laws(laws):
    laws(build, call, "nodes", leaves_smoothly=True)


def test_formula_written_out(ethanol, inputs):
    """Anchor: asinh(sum_m (A W_l)_mk (A W'_l)_mk / (2l+1))."""
    layer, given = build(), inputs(ethanol)
    expected = []
    for l in range(3):
        part = given.density[:, degrees(2) == l]
        expected.append(((part @ layer.first[l]) * (part @ layer.second[l])).sum(dim=1) / (2 * l + 1))
    torch.testing.assert_close(call(layer, given), torch.cat(expected, dim=1).asinh())


def test_angle_is_seen(water, inputs):
    """Opening the angle of water at fixed bond lengths changes the powers of l >= 1 at the O, not those of l = 0."""
    layer = build()
    before = call(layer, inputs(water, 1.2))[0]
    water.pos[1] = water.pos[0] + (water.pos[1] - water.pos[0]).norm() * torch.tensor([0.0, 0.0, 1.0])
    change = call(layer, inputs(water, 1.2))[0] - before
    assert change[:3].abs().max() < 1e-5
    assert change[3:].abs().min() > 1e-5


def test_second_derivatives_exist_where_the_density_vanishes():
    assert_gradients(build().double(), [torch.zeros(1, 9, 2, dtype=torch.float64)])


def test_symmetry():
    assert build().symmetry("equivariant") == "invariant"
    assert build().symmetry("unconstrained") == "unconstrained"


def test_repr_names_the_sizes():
    assert repr(build()) == "DensityPowers(2, l_max=2, out_channels=3)"


@pytest.mark.parametrize("arguments", [(0, 2, 3), (2, 2, 0)])
def test_widths_must_be_positive(arguments):
    with pytest.raises(ValueError, match=r"'\w+' must be at least 1, got"):
        DensityPowers(*arguments)
