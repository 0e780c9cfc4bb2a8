"""Cutoff functions: closed forms, smoothness at the cutoff, finite derivatives."""

from __future__ import annotations

import math

import pytest
import torch

from pyg_mpnn.basis import BumpCutoff, CosineCutoff, PolynomialCutoff
from pyg_mpnn.testing import assert_copies_law, assert_cutoff_law, assert_gradients

RADIUS = 4.0
CUTOFFS = [CosineCutoff(RADIUS), PolynomialCutoff(RADIUS), PolynomialCutoff(RADIUS, p=1), BumpCutoff(RADIUS)]
every_cutoff = pytest.mark.parametrize("cutoff", CUTOFFS, ids=str)


def derivatives(function, dist):
    """Value, first and second derivative at each distance."""
    dist = dist.clone().requires_grad_()
    value = function(dist)
    (slope,) = torch.autograd.grad(value.sum(), dist, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), dist)
    return value.detach(), slope.detach(), curvature


@pytest.mark.parametrize(
    ("cutoff", "closed_form"),
    [
        (CosineCutoff(RADIUS), lambda x: 0.5 * (math.cos(math.pi * x) + 1)),
        (PolynomialCutoff(RADIUS), lambda x: 1 - 28 * x**6 + 48 * x**7 - 21 * x**8),
        (PolynomialCutoff(RADIUS, p=3), lambda x: 1 - 10 * x**3 + 15 * x**4 - 6 * x**5),
        (BumpCutoff(RADIUS), lambda x: math.exp(1 - 1 / (1 - x * x))),
    ],
    ids=["cosine", "polynomial", "polynomial p=3", "bump"],
)
def test_value_is_the_closed_form(cutoff, closed_form, dtype):
    x = [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99]
    expected = torch.tensor([closed_form(value) for value in x])
    # a module converted after construction keeps no rounded constant: float64 is exact either way
    actual = cutoff.to(torch.float32).to(dtype)(RADIUS * torch.tensor(x))
    torch.testing.assert_close(actual, expected, rtol=0.0, atol=1e-14 if dtype == torch.float64 else 1e-6)


@every_cutoff
def test_exactly_zero_with_zero_derivatives_from_the_cutoff_on(cutoff):
    dist = RADIUS * torch.tensor([1.0, 1.0 + 1e-6, 1.5, 1e3, 1e10])
    for result in derivatives(cutoff, dist):
        assert (result == 0.0).all()


@every_cutoff
def test_derivatives_finite_everywhere_and_value_falls(cutoff, dtype):
    step = torch.finfo(dtype).eps
    dist = torch.cat([torch.linspace(0.0, 1.0, 401), 1.0 - torch.logspace(math.log10(step), -1, 50)]).sort().values
    value, slope, curvature = derivatives(cutoff, RADIUS * dist)
    assert all(result.isfinite().all() for result in (value, slope, curvature))
    assert value[0] == 1.0
    assert (value >= 0.0).all()
    assert (value[1:] - value[:-1] <= 4 * step).all()


@every_cutoff
def test_neighbour_leaves_smoothly(cutoff):
    assert_cutoff_law(lambda dist: cutoff(dist.unsqueeze(0)), RADIUS)


@pytest.mark.parametrize(
    ("cutoff", "broken"),
    [
        (lambda dist: 1.0 - dist / RADIUS, "still acts beyond"),
        (lambda dist: (1.0 - dist / RADIUS).clamp(min=0.0), "slope just inside"),
        (lambda dist: torch.where(dist < RADIUS, torch.exp(-dist), 0.0), "value just inside"),
        (lambda dist: torch.zeros_like(dist), "not tested"),
    ],
)
def test_control_other_functions_do_not(cutoff, broken):
    with pytest.raises(AssertionError, match=broken):
        assert_cutoff_law(cutoff, RADIUS)


@every_cutoff
def test_states_its_smoothness(cutoff):
    """Derivative number ``smoothness`` vanishes at the cutoff and the next one, for a finite number, does not."""
    dist = torch.tensor(RADIUS * (1 - 1e-4), dtype=torch.float64, requires_grad=True)
    results = [cutoff(dist.unsqueeze(0)).squeeze(0)]
    for _ in range(3):
        results.append(torch.autograd.grad(results[-1], dist, create_graph=True)[0])
    continuous = min(int(min(cutoff.smoothness, 3)), 3)
    assert all(abs(result) < 0.02 for result in results[: continuous + 1])
    if math.isfinite(cutoff.smoothness):
        assert abs(results[continuous + 1]) > 0.05


@every_cutoff
def test_gradients(cutoff):
    assert_gradients(cutoff, [torch.tensor([0.5, 1.7, 3.3, 4.5], dtype=torch.float64)])


@every_cutoff
def test_copies_and_repr(cutoff):
    dist = torch.linspace(0.0, 5.0, 20)
    assert_copies_law(lambda: cutoff, lambda module: module(dist))
    assert not list(cutoff.parameters())
    assert repr(cutoff).startswith(f"{type(cutoff).__name__}(cutoff=4")


@pytest.mark.parametrize("kind", [CosineCutoff, PolynomialCutoff, BumpCutoff])
@pytest.mark.parametrize("radius", [0.0, -1.0, math.inf, math.nan])
def test_radius_must_be_positive(kind, radius):
    with pytest.raises(ValueError, match=r"'cutoff' must be positive and finite \(in A\), got"):
        kind(radius)


def test_power_must_be_positive():
    with pytest.raises(ValueError, match="'p' must be at least 1, got 0"):
        PolynomialCutoff(4.0, p=0)
