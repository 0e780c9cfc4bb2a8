"""Structures in a file, and one training by the command line."""

from __future__ import annotations

from pathlib import Path

import ase.io
import pytest

from pyg_mpnn.cli import main
from pyg_mpnn.data import ethanol, to_atoms


@pytest.fixture(autouse=True)
def _as_users_run_it(unchecked: None, undrawn: None) -> None:
    """Shapes are checked, and pictures drawn, by the tests of what the commands call."""


@pytest.fixture(scope="session")
def tiny() -> list[str]:
    flags = ["--size", "small", "--model.hidden_channels", "8", "--model.edge_dim", "8", "--model.channels", "2"]
    return [*flags, "--model.l_max", "1", "--model.num_layers", "1", "--device", "cpu"]


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("data") / "ethanol.extxyz"
    ase.io.write(path, [to_atoms(frame) for frame in ethanol("train")[:10]])
    return str(path)


@pytest.fixture(scope="session")
def trained(data: str, tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "run"
    flags = ["--data", data, "--test", data, "--valid-size", "4", "--epochs", "1", "--batch-size", "3"]
    assert main(["train", *flags, "--out", str(out), *tiny]) == 0
    return out
