from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import torch

from pyg_mpnn.training.random_state import get_random_state, seed_generators, set_random_state


def _draw() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))  # noqa: NPY002


def test_generators_continue_from_a_file_read_without_pickled_code(tmp_path: Path) -> None:
    torch.save(get_random_state(), tmp_path / "state")
    first = _draw()
    assert _draw() != first, "control"
    set_random_state(torch.load(tmp_path / "state", weights_only=True))
    assert _draw() == first


def test_seed_reaches_all_generators() -> None:
    seed_generators(7)
    first = _draw()
    assert all(a != b for a, b in zip(_draw(), first, strict=True)), "control"
    seed_generators(7)
    assert _draw() == first
