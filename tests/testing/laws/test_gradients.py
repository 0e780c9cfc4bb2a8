from __future__ import annotations

import pytest
import torch

from pyg_mpnn.testing import Healthy, laws, molecule
from pyg_mpnn.testing.laws.gradients import slope


class Scaled(Healthy):
    """Forces and stress are larger than the slope of the energy by a part in 100,000."""

    def _forces(self, s, e, forces):
        return 1.00001 * forces

    def _stress(self, s, slope):
        return 1.00001 * super()._stress(s, slope)


class Pushed(Healthy):
    """One atom feels a force more."""

    def _forces(self, s, e, forces):
        return forces + 1e-8 * (torch.arange(len(forces)) == 1).unsqueeze(1)


class Untrainable(Healthy):
    """Forces without a graph."""

    def _forces(self, s, e, forces):
        return forces.detach()


def test_laws_hold(holds):
    for law in (laws.forces, laws.stress, laws.momentum, laws.torque, laws.double_backward):
        holds(law)


def test_faults_are_caught(catches):
    catches(laws.forces, Scaled(), "eV/A")
    catches(laws.stress, Scaled(), "stress xx", "eV/A^3")
    catches(laws.momentum, Pushed(), "sum of forces")
    catches(laws.torque, Pushed(), "sum of torques")
    catches(laws.double_backward, Untrainable(), "carry no graph")


def test_a_detached_part_of_the_double_backward_is_caught(catches):
    class Half(Healthy):
        def _forces(self, s, e, forces):
            return 0.5 * forces + 0.5 * forces.detach()

    catches(laws.double_backward, Half(), "gradient of a force loss")


def test_a_model_without_forces_is_no_subject():
    result = laws.momentum(lambda data: data.pos.sum() * torch.zeros(data.num_graphs), molecule(), cutoff=3.0)
    assert result.verdict == "fail"
    assert "must be finite and not zero to judge by" in result.reason


def test_slope_is_of_fourth_order():
    errors = [abs(slope(lambda x: torch.tensor(x).exp().item(), step) - 1.0) for step in (0.2, 0.1)]
    assert errors[0] / errors[1] == pytest.approx(16.0, rel=0.1)
