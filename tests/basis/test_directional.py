"""Spherical harmonics: closed forms, orthonormality, rotation, the addition theorem."""

from __future__ import annotations

import math

import e3nn
import pytest
import torch
from e3nn import o3
from torch_geometric.data import Data

from pyg_mpnn.basis import DirectionalBasis, degrees
from pyg_mpnn.testing import (
    assert_copies_law,
    assert_gradients,
    assert_inversion_law,
    assert_permutation_law,
    assert_rotation_law,
)

L_MAX = 4


def directions(number=20):
    return torch.nn.functional.normalize(torch.randn(number, 3), dim=-1)


def test_first_degree_is_the_cartesian_vector(dtype):
    unit = directions()
    values = DirectionalBasis(1)(2.5 * unit)
    torch.testing.assert_close(values[:, 0], torch.ones(20))
    torch.testing.assert_close(values[:, 1:], math.sqrt(3) * unit)


def test_second_degree_is_the_textbook_one(dtype):
    x, y, z = directions().unbind(-1)
    expected = [
        math.sqrt(15) * x * z,
        math.sqrt(15) * x * y,
        math.sqrt(5) * (1.5 * y**2 - 0.5),
        math.sqrt(15) * y * z,
        math.sqrt(15) / 2 * (z**2 - x**2),
    ]
    values = DirectionalBasis(2)(torch.stack([x, y, z], dim=-1))[:, 4:]
    atol = 1e-14 if dtype == torch.float64 else 2e-6
    torch.testing.assert_close(values, torch.stack(expected, dim=-1), rtol=0.0, atol=atol)


def test_equals_e3nn():
    vec = torch.randn(20, 3)
    expected = o3.spherical_harmonics(list(range(L_MAX + 1)), vec, normalize=True, normalization="component")
    torch.testing.assert_close(DirectionalBasis(L_MAX)(vec), expected)


def test_orthonormal_on_the_sphere(dtype):
    """Gauss-Legendre in y, even steps in the angle about it: exact for degree 2 l_max."""
    import numpy as np

    y, weight = (torch.tensor(value) for value in np.polynomial.legendre.leggauss(L_MAX + 1))
    angle = 2 * math.pi * torch.arange(2 * L_MAX + 1) / (2 * L_MAX + 1)
    rho = (1 - y**2).sqrt().unsqueeze(-1)
    points = torch.stack([rho * angle.sin(), y.unsqueeze(-1).expand(-1, len(angle)), rho * angle.cos()], dim=-1)
    values = DirectionalBasis(L_MAX)(points.flatten(0, 1).to(dtype))
    measure = (weight.unsqueeze(-1) * 2 * math.pi / len(angle)).expand(-1, len(angle)).flatten().to(dtype)
    overlap = values.T @ (values * measure.unsqueeze(-1))
    expected = 4 * math.pi * torch.eye((L_MAX + 1) ** 2)
    torch.testing.assert_close(overlap, expected, rtol=0.0, atol=1e-12 if dtype == torch.float64 else 2e-5)


def test_addition_theorem():
    first, second = directions(), directions()
    basis = DirectionalBasis(3)
    products = basis(first) * basis(second)
    cos = (first * second).sum(dim=-1)
    legendre = [torch.ones_like(cos), cos, 1.5 * cos**2 - 0.5, 2.5 * cos**3 - 1.5 * cos]
    for l, expected in enumerate(legendre):
        torch.testing.assert_close(
            products[:, basis.degrees == l].sum(dim=-1), (2 * l + 1) * expected, rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("l_max", [0, 1, 3])
def test_rotates_with_wigner_matrices(l_max):
    basis = DirectionalBasis(l_max)
    data = Data(pos=torch.randn(10, 3))
    assert_rotation_law(lambda data: basis(data.pos), data, basis.degrees)
    assert_inversion_law(lambda data: basis(data.pos), data, basis.degrees)
    assert_permutation_law(lambda data: basis(data.pos), data, "nodes")


def test_control_components_in_another_order_do_not():
    basis = DirectionalBasis(2)
    data = Data(pos=torch.randn(10, 3))
    with pytest.raises(AssertionError, match="rotation law broken"):
        assert_rotation_law(lambda data: basis(data.pos).flip(-1), data, basis.degrees.flip(-1).sort().values)
    with pytest.raises(AssertionError, match="inversion law broken"):
        assert_inversion_law(lambda data: basis(data.pos).abs(), data, basis.degrees)


def test_only_the_direction_counts():
    unit = directions()
    basis = DirectionalBasis(3)
    torch.testing.assert_close(basis(1e-3 * unit), basis(1e3 * unit), rtol=1e-4, atol=1e-5)


def test_gradients():
    assert_gradients(DirectionalBasis(3), [torch.randn(3, 3, dtype=torch.float64)])


def test_degrees():
    assert degrees(2).tolist() == [0, 1, 1, 1, 2, 2, 2, 2, 2]
    assert DirectionalBasis(2).degrees.tolist() == degrees(2).tolist()
    assert DirectionalBasis(2).symmetry == "equivariant"


def test_copies_and_repr():
    vec = torch.randn(5, 3)
    assert_copies_law(lambda: DirectionalBasis(2), lambda module: module(vec))
    assert "l_max=2" in repr(DirectionalBasis(2))


@pytest.mark.parametrize("jit_mode", ["script", "eager"])
def test_e3nn_settings_of_the_user_stay(jit_mode):
    before = e3nn.get_optimization_defaults()
    e3nn.set_optimization_defaults(jit_mode=jit_mode)
    try:
        chosen = e3nn.get_optimization_defaults()
        basis = DirectionalBasis(2)
        assert e3nn.get_optimization_defaults() == chosen
        assert not isinstance(basis.harmonics.sph_func, torch.jit.ScriptFunction)
    finally:
        e3nn.set_optimization_defaults(**before)


@pytest.mark.parametrize("l_max", [-1, 13])
def test_degree_must_be_in_range(l_max):
    with pytest.raises(ValueError, match=f"'l_max' must be (between 0 and 12|at least 0), got {l_max}"):
        DirectionalBasis(l_max)
