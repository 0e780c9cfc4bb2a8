from __future__ import annotations

import pytest
import torch

from pyg_mpnn.testing import bond_scan
from pyg_mpnn.testing.controls import Healthy, molecule


def test_scan_reaches_beyond_the_cutoff_and_force_is_the_slope(unchecked):
    scan = bond_scan(Healthy(), molecule(), points=801, dtype=torch.float64)
    distance, energy, force = (torch.tensor(scan[name]) for name in ("distance", "energy", "force"))
    assert (float(distance[0]), float(distance[-1])) == pytest.approx((0.5, 4.6))
    assert scan["cutoff"] == [4.0]
    assert scan["elements"] == [1, 6]
    assert energy[distance > 4.0].abs().max() == 0.0
    slope = -torch.gradient(energy, spacing=(distance,))[0]
    assert (slope - force)[1:-1].abs().max() < 1e-3 * force.abs().max()
