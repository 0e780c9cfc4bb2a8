from __future__ import annotations

import pytest
import torch

from pyg_mpnn import ZBL, Potential, SumPotential
from pyg_mpnn.testing import Healthy, check_potential, laws, molecule


class Hole(Healthy):
    """Two atoms attract below 0.6 A, by some 1 eV."""

    def _pair(self, s, e):
        return super()._pair(s, e) - self.fault * 30.0 * e.weight * torch.exp(-e.sq / 0.15)


def test_a_sound_potential_repels(dtype):
    assert laws.repulsion(Healthy(), molecule(), dtype=dtype).verdict == "pass"


def test_attraction_of_near_atoms_is_found_with_the_distances(dtype):
    result = laws.repulsion(Hole(), molecule(), dtype=dtype)
    assert result.verdict == "fail"
    assert "Z = 1 and 8 attract: energy lost from 0.7" in str(result)


@pytest.mark.parametrize(("fault", "verdict"), [(1.0, "fail"), (0.1, "fail"), (0.01, "pass"), (0.0, "pass")])
def test_a_small_hole_draws_nothing_in(fault, verdict):
    assert laws.repulsion(Hole(fault), molecule(), dtype=torch.float64).verdict == verdict


def test_nearer_atoms_in_the_data_are_not_judged():
    """The data have pairs at 0.3 A, so that what happens outside of that is theirs to say."""
    known = {(a, b): 0.3 for a in (1, 6, 8) for b in (1, 6, 8)}
    everywhere = laws.repulsion(Hole(), molecule(), dtype=torch.float64)
    inside = laws.repulsion(Hole(), molecule(), dtype=torch.float64, options={"distances": known})
    assert inside.value < everywhere.value


def test_repulsion_of_nuclei_mends_it():
    torch.manual_seed(0)
    network = Potential.from_size("small").double()
    network.set_reference({1: 0.0, 6: 0.0, 8: 0.0}, 1.0)
    assert laws.repulsion(network, molecule()).verdict == "fail"
    assert laws.repulsion(SumPotential(network, ZBL().double()), molecule()).verdict == "pass"


def test_a_finding_is_told_and_counts_if_strict():
    options = {"dtype": torch.float64, "laws": [laws.rotation]}
    report = check_potential(Hole(), molecule(), **options)
    assert report.passed
    assert report.warnings == ("repulsion",)
    assert "WARNING: repulsion: fail. Z = 1 and 1 attract" in str(report)
    assert report.to_dict()["findings"]["repulsion"]["verdict"] == "fail"
    strict = check_potential(Hole(), molecule(), strict=True, **options)
    assert not strict.passed
    assert "FAILED: all laws hold, but repulsion counts too (strict)" in str(strict)
    assert check_potential(Healthy(), molecule(), strict=True, **options).passed
