from __future__ import annotations

import pytest
from ase.calculators.lj import LennardJones

from pyg_mpnn import Potential, PotentialCalculator
from pyg_mpnn.testing import check_potential, crystal, laws, molecule

pytestmark = pytest.mark.usefixtures("unchecked")
CHOSEN = [laws.rotation, laws.forces, laws.stress, laws.supercell, laws.smoothness_single, laws.determinism]


def test_our_calculator_obeys():
    potential = Potential.from_size("small", hidden_channels=8, edge_dim=8, channels=2, cutoff=3.0).double()
    report = check_potential(
        PotentialCalculator(potential), [molecule(), crystal()], cutoff=3.0, smoothness=2, laws=CHOSEN
    )
    assert report.passed, str(report)
    assert not report.not_applicable


def test_calculators_of_ase_are_judged():
    smooth = LennardJones(sigma=1.0, epsilon=0.1, rc=3.0, ro=2.0, smooth=True)
    report = check_potential(smooth, [molecule(), crystal()], cutoff=3.0, smoothness=1, laws=CHOSEN)
    assert report.passed, str(report)
    shifted = LennardJones(sigma=1.0, epsilon=0.1, rc=3.0)  # the energy is shifted to zero, the force jumps
    report = check_potential(shifted, [molecule(), crystal()], cutoff=3.0, smoothness=1, laws=CHOSEN)
    assert report.failed == ("smoothness_single",)
    assert "jump of the force" in str(report.results["smoothness_single"])


def test_what_no_calculator_has_does_not_apply():
    result = laws.batch_independence(LennardJones(), molecule(), cutoff=3.0)
    assert (result.verdict, result.reason) == ("n/a", "batches: an ASE calculator takes one structure at a time")
