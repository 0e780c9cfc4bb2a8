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


def test_density_of_states_is_drawn_where_hydrogen_tells_nothing(tmp_path: Path) -> None:
    """Sticks of 45 modes look like 7."""
    frequencies = np.linspace(200.0, 500.0, 45)
    shaded = []
    for heights in (None, np.linspace(0.0, 1.0, 45)):
        plot_frequencies(tmp_path / "frequencies.png", frequencies, heights, "title")
        picture = imread(tmp_path / "frequencies.png")[..., :3]
        light = 0.75 + 0.25 * np.array([0x1F, 0x77, 0xB4]) / 255  # a quarter of C0 on white
        shaded.append(int((np.abs(picture - light).max(axis=-1) < 0.02).sum()))
    assert shaded[0] > 5000
    assert shaded[1] < shaded[0] / 10, "control: sticks"
