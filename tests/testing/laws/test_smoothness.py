from __future__ import annotations

import math

import pytest
import torch

from pyg_mpnn.basis import BumpCutoff, CosineCutoff, PolynomialCutoff
from pyg_mpnn.testing import Healthy, laws, molecule
from pyg_mpnn.testing.laws.smoothness import leaving
from pyg_mpnn.testing.probes import atoms
from pyg_mpnn.testing.subject import as_subject


class Cut(Healthy):
    """The cutoff function is another one, of the distance."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def _cutoff(self, sq):
        return self.function(sq.sqrt())


class LengthOfVectors(Healthy):
    """The length of a directional sum."""

    def _atomic(self, s, e):
        return super()._atomic(s, e) + self._moments(s, e)[:, :3].square().sum(dim=1).clamp(min=1e-30).sqrt()


@pytest.mark.slow
def test_laws_hold(holds):
    for law in (laws.smoothness_single, laws.smoothness_crowd, laws.symmetric_sites, laws.no_truncation):
        holds(law)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "order"),
    [
        (lambda dist: 1.0 * (dist < 4.0), -1),
        (lambda dist: (1.0 - dist / 4.0).clamp(min=0.0), 0),
        (CosineCutoff(4.0), 1),
        (PolynomialCutoff(4.0), 2),
        (BumpCutoff(4.0), 2),
    ],
    ids=["hard", "linear", "cosine", "polynomial", "bump"],
)
@pytest.mark.parametrize("law", [laws.smoothness_single, laws.smoothness_crowd], ids=lambda law: law.name)
def test_order_of_the_cutoff_is_found(law, function, order):
    for declared in {max(order, 0), min(order + 1, 2)}:  # what it has, and the next that it has not
        result = law(Cut(function), molecule(), dtype=torch.float64, smoothness=declared)
        assert result.verdict == ("pass" if declared <= order else "fail"), (declared, str(result))
        found = {check.quantity for check in result.checks if "jump of the energy (" in check.quantity}
        wanted = "found a jump" if order < 0 else f"found C{order}"
        assert any(wanted in quantity for quantity in found), found


def test_search_goes_on_until_it_is_clear(monkeypatch):
    """A jump near what is allowed is looked at from shorter distances, whose truncation is less."""

    def check():
        return laws.smoothness_crowd(Healthy(), molecule(), dtype=torch.float32).checks[:3]

    tolerances, shares = [found.tolerance for found in check()], iter([0.9, 0.4, 0.01] * 10)

    def apart(*_):
        share = next(shares)
        return [share * tolerance for tolerance in tolerances]

    monkeypatch.setattr("pyg_mpnn.testing.laws.smoothness._limits_apart", apart)
    assert [found.value for found in check()] == pytest.approx([0.4 * tolerance for tolerance in tolerances])


def _ripples(dist):
    """Changes within 0.03 A, the longest distance of points in float32."""
    return 1.0 + 0.5 * (60.0 * dist).sin()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "order"),
    [
        (lambda dist: (dist < 4.0) * _ripples(dist), -1),
        (lambda dist: (1.0 - dist / 4.0).clamp(min=0.0) * _ripples(dist), 0),
        (lambda dist: PolynomialCutoff(4.0)(dist) * _ripples(dist), 2),
    ],
    ids=["hard", "linear", "polynomial"],
)
def test_steep_is_not_broken_in_float32(function, order):
    for declared in {max(order, 0), min(order + 1, 2)}:  # what it has, and the next that it has not
        result = laws.smoothness_single(Cut(function), molecule(), dtype=torch.float32, smoothness=declared)
        assert result.verdict == ("pass" if declared <= order else "fail"), (declared, str(result))


def test_a_jump_off_the_cutoff_is_found(catches):
    class Inner(Healthy):
        def _pair(self, s, e):
            return super()._pair(s, e) + 1e-3 * e.weight * (e.sq < 2.71**2)

    catches(laws.smoothness_single, Inner(), "jump of the energy on the way", cutoff=4.0)


def test_a_kink_at_a_symmetric_site_is_caught(catches):
    catches(laws.symmetric_sites, LengthOfVectors(), "jump of the", cutoff=4.0)


@pytest.mark.parametrize("cap", [32, 64, 100, 128])
def test_a_cap_is_caught(catches, cap):
    class Capped(Healthy):
        def _weight(self, s, vec, sq):
            first = torch.searchsorted(s.target, s.target)
            return super()._weight(s, vec, sq) * (torch.arange(len(sq)) - first < cap)

    catches(laws.no_truncation, Capped(), "renumbered", cutoff=4.0)


def test_path_has_the_force_along_it():
    subject = as_subject(Healthy(), dtype=torch.float64)
    path = leaving(atoms([6, 8], torch.zeros(2, 3)), 1, torch.tensor([1.0, 1.0, 0.0]))
    energy, force = path.energy_and_force(subject, [1.5 - 1e-4, 1.5, 1.5 + 1e-4])
    assert path.at(1.5).pos[1].norm().item() == pytest.approx(1.5)
    assert math.isclose(force[1], -(energy[2] - energy[0]) / 2e-4, rel_tol=1e-5)
