"""A small data set, small settings, and one finished training that tests may read but not change."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from torch_geometric.data import Data

from pyg_mpnn.data import ethanol as shipped_ethanol
from pyg_mpnn.training import TrainingResult, TrainingSettings, train

TINY = {"hidden_channels": 8, "edge_dim": 8, "channels": 2, "l_max": 1, "num_layers": 1}


@pytest.fixture(autouse=True)
def _pictures_are_left_out(undrawn: None) -> None:
    """Their own tests draw them, and so do the trainings that tests share."""


@pytest.fixture(scope="session")
def frames() -> list[Data]:
    return shipped_ethanol("train")[:12]


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., TrainingSettings]:
    base = TrainingSettings(
        "tiny", str(tmp_path / "run"), valid_size=4, size="small", epochs=2, batch_size=2, device="cpu", model=TINY
    )
    return lambda **changes: dataclasses.replace(base, **changes)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, frames: list[Data]) -> TrainingResult:
    out = str(tmp_path_factory.mktemp("finished") / "run")
    settings = TrainingSettings("tiny", out, valid_size=4, epochs=3, batch_size=2, device="cpu", model=TINY)
    return train(settings, frames=frames, test=shipped_ethanol("test")[:6])
