from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from pyg_mpnn.md.relaxation_plot import plot_relaxation

pytestmark = pytest.mark.usefixtures("drawn")


@pytest.mark.parametrize("columns", [3, 4])
def test_picture_with_and_without_stress(columns: int, tmp_path: Path) -> None:
    steps = np.arange(20.0)
    rows = np.stack([steps, -10 + np.exp(-steps), np.exp(-steps), 0.1 * np.exp(-steps)], axis=1)
    plot_relaxation(tmp_path / "relaxation.png", rows[:, :columns], 0.01, "title")
    picture = imread(tmp_path / "relaxation.png")[..., :3]
    blue = ((picture[..., 2] - picture[..., 0]) > 0.4).sum()
    assert (blue > 50) == (columns == 4)


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "pyg_mpnn.md.relaxation_plot")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'pip install "pyg_mpnn\[md\]"'):
        importlib.import_module("pyg_mpnn.md.relaxation_plot")
