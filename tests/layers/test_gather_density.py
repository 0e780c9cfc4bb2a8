"""GatherDensity: the laws, Wigner matrices, and the formula written out."""

from __future__ import annotations

import pytest
import torch

from pyg_mpnn import GatherDensity
from pyg_mpnn.basis import degrees


def build(carry=True):
    return GatherDensity(4, channels=2, num_radial=3, l_max=2, carry=carry)


def call(module, inputs):
    return module(inputs.x, inputs.edge_index, inputs.radial, inputs.sphere, inputs.envelope, inputs.density)


@pytest.mark.parametrize("carry", [True, False])
def test_laws(laws, carry):
    laws(lambda: build(carry), call, "nodes", degrees(2), runs="propagate", leaves_smoothly=True)


def test_formula_written_out(ethanol, inputs):
    """Anchor: the sum over neighbours with loops over edges, degrees and channels."""
    layer, given = build(), inputs(ethanol)
    layer.nu.fill_(2.0)
    direct, carried = (given.radial @ layer.radial.weight.T).chunk(2, dim=1)
    element = given.x @ layer.element.weight.T
    expected = torch.zeros_like(given.density)
    for edge, (j, i) in enumerate(given.edge_index.T.tolist()):
        for component, l in enumerate(degrees(2).tolist()):
            for c in range(2):
                term = direct[edge, l * 2 + c] * element[j, c] * given.sphere[edge, component]
                term = term + carried[edge, l * 2 + c] * given.density[j, component, c]
                expected[i, component, c] += given.envelope[edge] / 2 * term
    torch.testing.assert_close(call(layer, given), expected, rtol=1e-4, atol=1e-5)


def test_density_is_not_used_where_it_is_not_carried(ethanol, inputs):
    given = inputs(ethanol)
    layer = build(carry=False)
    alone = layer(given.x, given.edge_index, given.radial, given.sphere, given.envelope)
    assert torch.equal(call(layer, given), alone)


def test_symmetry():
    assert build().symmetry("invariant", "invariant", "equivariant", "equivariant") == "equivariant"
    assert build().symmetry("invariant", "invariant", "unconstrained") == "unconstrained"


def test_repr_names_the_sizes():
    assert repr(build()) == "GatherDensity(4, 2, 3, l_max=2, carry=True)"


@pytest.mark.parametrize("arguments", [(0, 2, 3, 2), (4, 0, 3, 2), (4, 2, 0, 2), (4, 2, 3, -1)])
def test_sizes_must_make_sense(arguments):
    with pytest.raises(ValueError, match=r"'\w+' must be (at least [01]|positive and finite), got"):
        GatherDensity(*arguments)


def test_nu_must_be_positive():
    with pytest.raises(ValueError, match="'nu' must be positive and finite, got"):
        GatherDensity(4, 2, 3, 2, nu=0.0)
