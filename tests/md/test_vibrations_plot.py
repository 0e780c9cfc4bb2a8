from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from pyg_mpnn.md.vibrations_plot import plot_frequencies

pytestmark = pytest.mark.usefixtures("drawn")


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("lowest", [-200.0, 200.0])
def test_imaginary_frequencies_are_red(lowest: float, share: bool, tmp_path: Path) -> None:
    frequencies = np.array([lowest, 1000.0, 3000.0])
    heights = np.array([0.5, 0.2, 1.0]) if share else None
    plot_frequencies(tmp_path / "frequencies.png", frequencies, heights, "title")
    picture = imread(tmp_path / "frequencies.png")[..., :3]
    red = (picture[..., 0] - picture[..., 2] > 0.4).sum()
    assert (red > 50) == (lowest < 0)


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "pyg_mpnn.md.vibrations_plot")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'pip install "pyg_mpnn\[md\]"'):
        importlib.import_module("pyg_mpnn.md.vibrations_plot")
