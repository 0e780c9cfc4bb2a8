"""Training and dynamics by compiled code are those by eager code."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import ase.io
import pytest
import torch

from pyg_mpnn import Potential
from pyg_mpnn.data import ethanol
from pyg_mpnn.md import run_dynamics
from pyg_mpnn.training import TrainingSettings, train

TINY = {"hidden_channels": 8, "edge_dim": 4, "channels": 2, "l_max": 1, "num_layers": 1, "num_radial": 4}


@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
def test_training_and_dynamics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture) -> None:
    monkeypatch.setenv("PYG_MPNN_CACHE", str(tmp_path / "cache"))
    eager = TrainingSettings(
        "tiny",
        str(tmp_path / "off"),
        valid_size=4,
        epochs=3,
        batch_size=3,
        dtype="float64",
        device="cpu",
        compile="off",
        model=TINY,
    )
    frames, paths = ethanol("train")[:12], {}
    for mode in ("off", "on"):
        settings = dataclasses.replace(eager, compile=mode, out=str(tmp_path / mode))
        result = train(settings, frames=frames)
        assert result.potential.compiler is None  # what is handed out starts nothing by itself
        paths[mode] = result.out / "best.ckpt"
    for name, weight in Potential.load(paths["off"]).state_dict().items():
        torch.testing.assert_close(
            Potential.load(paths["on"]).state_dict()[name], weight, rtol=1e-7, atol=1e-8, equal_nan=True
        )
    said = capfd.readouterr().err
    assert said.count("Compiling the training step (kept in") == 1
    assert said.count("Compiling energies and forces") == 1
    for mode in ("off", "on"):
        run_dynamics(paths["off"], "ethanol", tmp_path / f"md {mode}", steps=20, compile=mode, trajectory_interval=20)
        assert json.loads((tmp_path / f"md {mode}" / "summary.json").read_text())["settings"]["compile"] == mode
    found, wanted = (ase.io.read(tmp_path / f"md {mode}" / "trajectory.traj") for mode in ("on", "off"))
    assert abs(found.positions - wanted.positions).max() < 1e-9
