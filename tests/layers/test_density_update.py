"""DensityUpdate: the laws, Wigner matrices, and two atoms by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pyg_mpnn import DensityUpdate
from pyg_mpnn.basis import degrees


def build():
    return DensityUpdate(4, message_channels=3, channels=2, l_max=2)


def call(module, inputs):
    message = inputs.radial * inputs.envelope.unsqueeze(-1)
    return module(inputs.x, inputs.edge_index, message, inputs.sphere, inputs.density)


def test_laws(laws):
    laws(build, call, "nodes", degrees(2), runs="propagate", leaves_smoothly=True)


def test_formula_written_out(ethanol, inputs):
    """Anchor: sum_j (g W h_j Y_ij + g' A_j) with loops over edges, degrees and channels."""
    layer, given = build(), inputs(ethanol)
    message = given.radial * given.envelope.unsqueeze(-1)
    gates, carry = (message @ layer.gates.weight.T).chunk(2, dim=1)
    element = given.x @ layer.element.weight.T
    expected = torch.zeros_like(given.density)
    for edge, (j, i) in enumerate(given.edge_index.T.tolist()):
        for component, l in enumerate(degrees(2).tolist()):
            for c in range(2):
                direct, carried = gates[edge, l * 2 + c], carry[edge, l * 2 + c]
                expected[i, component, c] += direct * element[j, c] * given.sphere[edge, component]
                expected[i, component, c] += carried * given.density[j, component, c]
    torch.testing.assert_close(call(layer, given), expected, rtol=1e-4, atol=1e-5)


def test_no_message_no_change(ethanol, inputs):
    """Linear without bias: it vanishes with the message, and so with the cutoff function in it."""
    layer, given = build(), inputs(ethanol)
    for weight in layer.parameters():
        nn.init.ones_(weight)
    zero = layer(given.x, given.edge_index, torch.zeros_like(given.radial), given.sphere, given.density)
    assert (zero == 0.0).all()


def test_symmetry():
    assert build().symmetry("invariant", "invariant", "equivariant", "equivariant") == "equivariant"
    assert build().symmetry("invariant", "unconstrained", "equivariant", "equivariant") == "unconstrained"


def test_repr_names_the_sizes():
    assert repr(build()) == "DensityUpdate(4, 3, 2, l_max=2)"


@pytest.mark.parametrize("arguments", [(0, 3, 2, 2), (4, 0, 2, 2), (4, 3, 0, 2), (4, 3, 2, -1)])
def test_sizes_must_make_sense(arguments):
    with pytest.raises(ValueError, match=r"'\w+' must be at least [01], got"):
        DensityUpdate(*arguments)
