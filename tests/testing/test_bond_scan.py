from __future__ import annotations

import sys

import pytest
import torch

from pyg_mpnn.testing import Healthy, bond_scan, draw_scan, molecule


@pytest.mark.slow
def test_scan_reaches_beyond_the_cutoff_and_force_is_the_slope(unchecked):
    scan = bond_scan(Healthy(), molecule(), points=801, dtype=torch.float64)
    distance, energy, force = (torch.tensor(scan[name]) for name in ("distance", "energy", "force"))
    assert (float(distance[0]), float(distance[-1])) == pytest.approx((0.5, 4.6))
    assert scan["cutoff"] == [4.0]
    assert scan["elements"] == [1, 6]
    assert energy[distance > 4.0].abs().max() == 0.0
    slope = -torch.gradient(energy, spacing=(distance,))[0]
    assert (slope - force)[1:-1].abs().max() < 1e-3 * force.abs().max()


SCAN = {
    "distance": [1.0 + 0.1 * k for k in range(50)],
    "energy": [max(0.0, 5.0 - 1.0 - 0.1 * k) for k in range(50)],
    "force": [1.0] * 50,
    "cutoff": [3.0, 5.0],
    "elements": [1, 6],
}


def test_picture_is_drawn(tmp_path):
    draw_scan(SCAN, tmp_path / "scan.png", title="model")
    content = (tmp_path / "scan.png").read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert len(content) > 10_000


def test_missing_matplotlib_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'pip install "pyg_mpnn\[md\]"'):
        draw_scan(SCAN, tmp_path / "scan.png")
