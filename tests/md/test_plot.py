from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from pyg_mpnn.md.drift import EnergyDrift, energy_drift
from pyg_mpnn.md.plot import plot_energy_drift
from pyg_mpnn.md.recorder import DynamicsLog

pytestmark = pytest.mark.usefixtures("drawn")


@pytest.mark.parametrize("thermostat", [False, True])
def test_picture_has_a_panel_for_the_total_energy_unless_a_thermostat_changes_it(
    thermostat: bool, tmp_path: Path
) -> None:
    time = np.linspace(0.0, 2.0, 201)
    log = DynamicsLog(time, np.sin(50 * time), 30 - np.sin(50 * time), 300 + 10 * np.sin(50 * time))
    drift: EnergyDrift | None = None if thermostat else energy_drift(time, log.potential + log.kinetic)
    plot_energy_drift(tmp_path / "energy_drift.png", log, drift, 300.0, "title")
    height, width = imread(tmp_path / "energy_drift.png").shape[:2]
    assert (height < width) == thermostat


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "pyg_mpnn.md.plot")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'pip install "pyg_mpnn\[md\]"'):
        importlib.import_module("pyg_mpnn.md.plot")
