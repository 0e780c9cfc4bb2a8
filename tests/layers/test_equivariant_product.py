"""EquivariantProduct: the laws, Wigner matrices, another library, and angles by hand."""

from __future__ import annotations

import math

import pytest
import torch
from e3nn import o3

from pyg_mpnn import DirectionalBasis, EquivariantProduct
from pyg_mpnn.basis import degrees
from pyg_mpnn.layers import coupling_paths
from pyg_mpnn.testing import assert_rotation_law


def build():
    return EquivariantProduct(2)


def call(module, inputs):
    return module(inputs.density, inputs.density.flip(-1))


def test_laws(laws):
    laws(build, call, "nodes", degrees(2), leaves_smoothly=True)


@pytest.mark.parametrize("index", range(len(coupling_paths(2))))
def test_each_path_is_equivariant_and_not_zero(index, chiral, inputs):
    def one_path(data):
        given = inputs(data)
        weights = torch.zeros(len(data.z), len(coupling_paths(2)), 2)
        weights[:, index] = 1.0
        return build()(given.density, given.density.flip(-1), weights)

    assert_rotation_law(one_path, chiral, degrees(2))
    assert one_path(chiral).abs().max() > 1e-4


def test_rotation_control(chiral, inputs):
    """A coupling that is none, here with its first two components exchanged, is seen."""
    product = build()
    product.coupling_1_1_2 = product.coupling_1_1_2[[1, 0, 2]]
    with pytest.raises(AssertionError, match="rotation law"):
        assert_rotation_law(lambda data: call(product, inputs(data)), chiral, degrees(2))


@pytest.mark.parametrize("l_max", [1, 2, 3])
def test_another_library(l_max, dtype):
    """e3nn's tensor product with the same paths, normalised to Wigner 3j times sqrt(2 l3 + 1)."""
    first, second = torch.randn(2, 5, (l_max + 1) ** 2, 1)
    irreps = o3.Irreps.spherical_harmonics(l_max)
    paths = [(l1, l2, l3, "uuu", False) for l1, l2, l3 in coupling_paths(l_max)]
    oracle = o3.TensorProduct(irreps, irreps, irreps, paths, irrep_normalization="component", path_normalization="none")
    expected = oracle(first.squeeze(-1), second.squeeze(-1))
    torch.testing.assert_close(EquivariantProduct(l_max)(first, second).squeeze(-1), expected)


def test_two_directions_by_hand(dtype):
    """Anchor: 1 x 1 -> 0 is sqrt(3) cos, by the addition theorem with Y_1 of length sqrt(3), over sqrt(3)."""
    basis = DirectionalBasis(1)
    angle = 0.7
    first = basis(torch.tensor([[0.0, 0.0, 1.0]])).unsqueeze(-1)
    second = basis(torch.tensor([[0.0, math.sin(angle), math.cos(angle)]])).unsqueeze(-1)
    weights = torch.tensor([0.0, 0.0, 0.0, 1.0]).view(1, 4, 1)
    found = EquivariantProduct(1)(first, second, weights)
    assert found[0, 0, 0].item() == pytest.approx(math.sqrt(3) * math.cos(angle), rel=1e-6)
    assert not found[0, 1:].any()


def test_couplings_keep_their_digits_in_float64():
    """Made in float32 and converted they would be wrong by 1e-8."""
    product = build().float().double()
    exact = math.sqrt(5) * o3.wigner_3j(2, 2, 2, dtype=torch.float64)
    assert torch.equal(product.coupling_2_2_2, exact)


def test_symmetry():
    assert build().symmetry("equivariant", "equivariant") == "equivariant"
    assert build().symmetry("equivariant", "unconstrained") == "unconstrained"


@pytest.mark.parametrize("l_max", [-1, 12])
def test_l_max_must_make_sense(l_max):
    with pytest.raises(ValueError, match=r"'l_max' must be (between 0 and 11|at least 0), got"):
        EquivariantProduct(l_max)
