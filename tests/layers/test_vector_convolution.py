"""VectorConvolution: the laws, and the formula written out."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pyg_mpnn import VectorConvolution
from pyg_mpnn.basis import degrees


def build():
    return VectorConvolution(2, num_radial=3)


def run(module, inputs, with_vectors=True):
    """Scalars and vectors; the vectors that come in are the part of the density with l = 1."""
    vec = inputs.density[:, 1:4] if with_vectors else None
    unit_vec = inputs.sphere[:, 1:4] / 3**0.5
    return module(inputs.x[:, :2], inputs.edge_index, inputs.radial, inputs.envelope, unit_vec, vec)


def call(module, inputs):
    x, vec = run(module, inputs)
    return torch.cat([x.unsqueeze(1), vec], dim=1)  # components of l = 0 and l = 1


def test_laws(laws):
    laws(build, call, "nodes", degrees(1), runs="propagate", leaves_smoothly=True)


def test_formula_written_out(ethanol, inputs):
    """Anchor: the sums with a loop over edges; vectors are scaled by numbers of their channel only."""
    layer, given = build(), inputs(ethanol)
    nn.init.normal_(layer.filter.bias)
    x, vec = given.x[:, :2].clone(), given.density[:, 1:4].clone()
    for edge, (j, i) in enumerate(given.edge_index.T.tolist()):
        gates = given.envelope[edge] * layer.filter(given.radial[edge]) * layer.mlp(given.x[j, :2])
        x[i] += gates[:2]
        for c in range(2):
            vec[i, :, c] += gates[2 + c] * given.sphere[edge, 1:4] / 3**0.5 + gates[4 + c] * given.density[j, 1:4, c]
    found = run(layer, given)
    torch.testing.assert_close(found, (x, vec), rtol=1e-4, atol=1e-5)


def test_no_vectors_are_zero_vectors(ethanol, inputs):
    layer, given = build(), inputs(ethanol)
    zero = given._replace(density=torch.zeros_like(given.density))
    torch.testing.assert_close(run(layer, given, with_vectors=False), run(layer, zero))
    assert (run(layer, given)[1] - run(layer, zero)[1]).abs().max() > 1e-3


def test_symmetry():
    layer = build()
    assert layer.symmetry("invariant", "invariant", "equivariant", "equivariant") == ("invariant", "equivariant")
    assert layer.symmetry("invariant", "invariant", "invariant", "equivariant") == ("invariant", "unconstrained")
    assert layer.symmetry("equivariant", "invariant", "equivariant", "equivariant") == ("unconstrained",) * 2


def test_repr_names_the_sizes():
    assert repr(build()) == "VectorConvolution(2, 3, SiLU())"


@pytest.mark.parametrize("arguments", [(0, 3), (2, 0)])
def test_widths_must_be_positive(arguments):
    with pytest.raises(ValueError, match=r"'\w+' must be at least 1, got"):
        VectorConvolution(*arguments)


def test_activation_must_be_smooth():
    with pytest.raises(TypeError, match="'activation' must be infinitely differentiable"):
        VectorConvolution(2, 3, nn.ReLU())
