from __future__ import annotations

import pytest
import torch

from pyg_mpnn.testing import Healthy, check_potential, crystal, molecule


@pytest.mark.slow
@pytest.mark.parametrize(
    "precision", [torch.float64, pytest.param(torch.float32, marks=pytest.mark.slow)], ids=["float64", "float32"]
)
def test_the_sound_one_passes(precision, unchecked):
    report = check_potential(Healthy(), [molecule(), crystal()], dtype=precision)
    assert report.passed, str(report)
    assert not report.not_applicable
