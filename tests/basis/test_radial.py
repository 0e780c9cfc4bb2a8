"""Radial bases: closed forms, the integral that each one states, derivatives."""

from __future__ import annotations

import math

import pytest
import torch

from pyg_mpnn.basis import BesselBasis, ExpNormalBasis, GaussianBasis
from pyg_mpnn.testing import assert_copies_law, assert_gradients

RADIUS = 5.0
BASES = [
    (GaussianBasis, {"num_radial": 7}),
    (GaussianBasis, {"num_radial": 5, "start": 0.7, "eta": 3.0}),
    (BesselBasis, {"num_radial": 6}),
    (ExpNormalBasis, {"num_radial": 7}),
    (ExpNormalBasis, {"num_radial": 5, "alpha": 0.4}),
]
every_basis = pytest.mark.parametrize(("kind", "options"), BASES, ids=lambda value: getattr(value, "__name__", None))


def closed_form(kind, dist, num_radial, start=0.0, eta=None, alpha=1.0):
    """The formulas of the docstrings, in plain Python numbers."""
    if kind is BesselBasis:
        return [math.sqrt(2 / RADIUS) * math.sin(n * math.pi * dist / RADIUS) / dist for n in range(1, num_radial + 1)]
    if kind is GaussianBasis:
        step = (RADIUS - start) / (num_radial - 1)
        eta = 0.5 / step**2 if eta is None else eta
        return [math.exp(-eta * (dist - start - d * step) ** 2) for d in range(num_radial)]
    last = math.exp(-alpha * RADIUS)
    beta = (2 / num_radial * (1 - last)) ** -2
    centers = [last + k * (1 - last) / (num_radial - 1) for k in range(num_radial)]
    return [math.exp(-beta * (math.exp(-alpha * dist) - center) ** 2) for center in centers]


@every_basis
@pytest.mark.parametrize("built_in", [torch.float32, torch.float64])
def test_value_is_the_closed_form(kind, options, built_in, dtype):
    """Also after ``.to``: a model built in float32 and converted is exact in float64."""
    torch.set_default_dtype(built_in)
    basis = kind(RADIUS, **options).to(dtype)
    torch.set_default_dtype(dtype)
    dist = [0.3, 0.9, 1.6, 2.5, 3.7, 4.9, 6.2]
    expected = torch.tensor([closed_form(kind, value, **options) for value in dist])
    actual = basis(torch.tensor(dist))
    assert actual.dtype == dtype
    torch.testing.assert_close(actual, expected, rtol=0.0, atol=1e-14 if dtype == torch.float64 else 2e-6)


def test_bessel_functions_are_orthonormal_in_the_sphere(dtype):
    dist = (torch.arange(20000) + 0.5) * RADIUS / 20000  # midpoint rule, error near 1e-6
    values = BesselBasis(RADIUS, 6)(dist)
    overlap = (values * (dist**2).unsqueeze(-1)).T @ values * RADIUS / 20000
    torch.testing.assert_close(overlap, torch.eye(6), rtol=0.0, atol=1e-5)


def test_gaussians_have_the_stated_integral():
    basis = GaussianBasis(RADIUS, 5, eta=2.0)
    dist = torch.linspace(-10.0, 15.0, 251)
    integral = (basis(dist) ** 2).sum(dim=0) * (dist[1] - dist[0])
    torch.testing.assert_close(integral, torch.full((5,), math.sqrt(math.pi / 4.0)), rtol=1e-5, atol=0.0)


def test_exp_normal_functions_have_the_stated_integral():
    """In s = exp(-alpha r), where the functions are Gaussians; distances reach only part of that line."""
    basis = ExpNormalBasis(RADIUS, 5, alpha=0.4)
    center = basis.start + torch.arange(5) * basis.step
    s = torch.linspace(-4.0, 5.0, 901)
    integral = (torch.exp(-basis.beta * (s.unsqueeze(-1) - center) ** 2) ** 2).sum(dim=0) * (s[1] - s[0])
    torch.testing.assert_close(integral, torch.full((5,), math.sqrt(math.pi / 2 / basis.beta)), rtol=1e-5, atol=0.0)
    inside = s[(s > 0.2) & (s < 0.9)]
    torch.testing.assert_close(
        basis(-torch.log(inside) / 0.4), torch.exp(-basis.beta * (inside.unsqueeze(-1) - center) ** 2)
    )


@every_basis
def test_finite_with_finite_derivatives_from_short_to_far(kind, options):
    dist = torch.logspace(-4, 6, 300).requires_grad_()
    value = kind(RADIUS, **options)(dist)
    (slope,) = torch.autograd.grad(value.sum(), dist, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), dist)
    assert all(result.isfinite().all() for result in (value, slope, curvature))


@every_basis
def test_gradients(kind, options):
    basis = kind(RADIUS, **options).double()
    assert_gradients(basis, [torch.tensor([0.5, 1.7, 4.9, 6.0], dtype=torch.float64)])


@every_basis
def test_no_cutoff_inside_and_nothing_to_learn(kind, options):
    basis = kind(RADIUS, **options)
    assert basis(torch.tensor([RADIUS * 1.05])).abs().max() > 1e-3
    assert not list(basis.parameters())
    assert (basis.cutoff, basis.num_radial) == (RADIUS, options["num_radial"])


@every_basis
def test_copies_and_repr(kind, options):
    dist = torch.linspace(0.5, 5.0, 20)
    assert_copies_law(lambda: kind(RADIUS, **options), lambda module: module(dist))
    assert f"num_radial={options['num_radial']}" in repr(kind(RADIUS, **options))


@pytest.mark.parametrize("kind", [GaussianBasis, BesselBasis, ExpNormalBasis])
def test_cutoff_must_be_positive(kind):
    with pytest.raises(ValueError, match=r"'cutoff' must be positive and finite \(in A\), got -1"):
        kind(-1.0, 4)


@pytest.mark.parametrize(("kind", "least"), [(GaussianBasis, 2), (BesselBasis, 1), (ExpNormalBasis, 2)])
def test_number_of_functions_must_be_large_enough(kind, least):
    kind(RADIUS, least)
    with pytest.raises(ValueError, match=f"'num_radial' must be at least {least}, got {least - 1}"):
        kind(RADIUS, least - 1)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (GaussianBasis, {"start": RADIUS}, r"'start' must be below 'cutoff' = 5.0 \(in A\), got 5.0"),
        (GaussianBasis, {"eta": 0.0}, r"'eta' must be positive and finite \(in 1/A\^2\), got 0.0"),
        (ExpNormalBasis, {"alpha": 0.0}, r"'alpha' must be positive and finite \(in 1/A\), got 0.0"),
    ],
)
def test_shape_parameters_must_make_sense(kind, options, message):
    with pytest.raises(ValueError, match=message):
        kind(RADIUS, **options)
