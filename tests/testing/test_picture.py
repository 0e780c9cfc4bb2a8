from __future__ import annotations

import sys

import pytest

from pyg_mpnn.testing import draw_scan

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
