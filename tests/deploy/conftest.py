"""Potentials that are small, and alike in all tests here: what one test has compiled the next finds."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pyg_mpnn import Potential
from pyg_mpnn.deploy import generate, proof, support

CUTOFF = 4.0
SMALL = {"hidden_channels": 8, "edge_dim": 4, "channels": 2, "num_layers": 1, "num_radial": 4, "l_max": 1}
ENERGIES = {1: -13.6, 6: -1029.0, 8: -2041.0, 14: -7800.0}
RADII = {(1, 1): 2.0, (1, 6): 2.0, (1, 8): 2.0, (6, 6): 2.0, (6, 8): 2.0, (14, 14): 2.5}  # edges that ZBL acts on


@pytest.fixture
def compiler() -> None:
    """A C++ compiler, without which there is nothing to test."""
    if shutil.which("g++") is None:
        pytest.skip("no C++ compiler g++")


@pytest.fixture(scope="session")
def build() -> Callable[..., Potential]:
    """``build(options, dtype)``: a potential with the same random weights each time."""

    def make(options: dict[str, Any], dtype: torch.dtype) -> Potential:
        torch.manual_seed(0)
        potential = Potential.from_size("small", **{"cutoff": CUTOFF, **SMALL, **options}).to(dtype)
        potential.set_reference(ENERGIES, 0.5, [6.0] * len(potential.cutoffs))
        if potential.zbl is not None:
            potential.zbl.set_radii(RADII)
        return potential

    return make


@pytest.fixture
def fresh_cache(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache for each test, but one for torch's headers, which take long to compile."""
    monkeypatch.setattr(support, "header_folder", lambda: cache / "headers")
    monkeypatch.setenv("PYG_MPNN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What was made: graphs that torch runs, whose results a test can change by ``made.change``."""

    class Made(list):
        change = staticmethod(lambda results: results)

        def make(self, traced, example, folder):
            self.append(traced)
            return lambda tensors: self.change(list(traced.graph(*tensors)))

    made = Made()
    monkeypatch.setattr(generate, "MAKERS", {"inference": made.make, "training": made.make})
    return made


@pytest.fixture
def unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A release of torch that the tests do not know."""
    monkeypatch.setattr(proof, "TESTED_TORCH", ())
    monkeypatch.setattr(generate, "expected_seconds", lambda *_: 0.0)
