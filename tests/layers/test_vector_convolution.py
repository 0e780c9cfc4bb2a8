from __future__ import annotations

import pytest
import torch
from torch import nn

from pyg_mpnn import VectorConvolution, VectorUpdate
from pyg_mpnn.basis import degrees
from pyg_mpnn.testing import assert_gradients


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


def build_vector_update():
    return VectorUpdate(2)


def call_vector_update(module, inputs):
    x, vec = module(inputs.x[:, :2], inputs.density[:, 1:4])
    return torch.cat([x.unsqueeze(1), vec], dim=1)  # components of l = 0 and l = 1


def test_vector_update_laws(laws):
    laws(build_vector_update, call_vector_update, "nodes", degrees(1), leaves_smoothly=True)


def test_vector_update_formula_written_out(ethanol, inputs):
    layer, given = build_vector_update(), inputs(ethanol)
    matrix_v, matrix_u = layer.mix.weight.chunk(2)
    for x, vec, new in zip(given.x[:, :2], given.density[:, 1:4], call_vector_update(layer, given), strict=True):
        mixed, other = vec @ matrix_u.T, vec @ matrix_v.T
        gates = layer.mlp(torch.cat([x, ((other**2).sum(dim=0) + 1e-8) ** 0.5]))
        torch.testing.assert_close(new[0], x + gates[:2] + gates[4:] * (mixed * other).sum(dim=0))
        torch.testing.assert_close(new[1:], vec + gates[2:4] * mixed)


def test_vectors_change_the_scalars(ethanol, inputs):
    layer, given = build_vector_update(), inputs(ethanol)
    without = call_vector_update(layer, given._replace(density=torch.zeros_like(given.density)))
    assert (call_vector_update(layer, given)[:, 0] - without[:, 0]).abs().max() > 1e-3
    assert (without[:, 1:] == 0.0).all()


def test_second_derivatives_exist_where_vectors_vanish():
    x, vec = torch.ones(1, 2, dtype=torch.float64), torch.zeros(1, 3, 2, dtype=torch.float64)
    layer = VectorUpdate(2, eps=1e-2).double()
    assert_gradients(lambda *given: torch.cat([part.flatten() for part in layer(*given)]), [x, vec])


def test_vector_update_symmetry():
    assert build_vector_update().symmetry("invariant", "equivariant") == ("invariant", "equivariant")
    assert build_vector_update().symmetry("invariant", "unconstrained") == ("unconstrained", "unconstrained")
    assert build_vector_update().symmetry("unconstrained", "equivariant") == ("unconstrained", "unconstrained")


def test_vector_update_repr_names_the_sizes():
    assert repr(build_vector_update()) == "VectorUpdate(2, SiLU(), eps=1e-08)"


def test_sizes_must_make_sense():
    with pytest.raises(ValueError, match="'channels' must be at least 1, got 0"):
        VectorUpdate(0)
    with pytest.raises(ValueError, match="'eps' must be positive and finite, got 0"):
        VectorUpdate(2, eps=0.0)


def test_vector_update_activation_must_be_smooth():
    with pytest.raises(TypeError, match="'activation' must be infinitely differentiable"):
        VectorUpdate(2, nn.ReLU())
