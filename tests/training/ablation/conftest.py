"""A folder with cells and times as a grid leaves them, and settings of a tiny grid."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyg_mpnn.training.ablation import AblationSettings, make_variants

# Force errors by variant and seed. 'l_max 3' is lower by 2 at every seed, 'l_max 1' differs by less than its spread.
ERRORS = {
    "reference": {0: 10.0, 1: 11.0, 2: 12.0},
    "l_max 1": {0: 10.5, 1: 10.4, 2: 12.6},
    "l_max 3": {0: 8.0, 1: 9.1, 2: 9.9},
    "attention softmax": {0: 15.0, 1: 16.2, 2: 16.9},
}
TIMES = {"reference": 100.0, "l_max 1": 80.0, "l_max 3": 200.0, "attention softmax": 101.0}


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., AblationSettings]:
    base = AblationSettings(
        "tiny", str(tmp_path / "grid"), size="small", minutes=0.01, seeds=1, only=["num_layers"], valid_size=4
    )
    base = dataclasses.replace(base, batch_size=2, threads=1, device="cpu")
    return lambda **changes: dataclasses.replace(base, **changes)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    out = tmp_path / "finished"
    (out / "cells").mkdir(parents=True)
    for variant in make_variants("small", 5.0):
        for seed, error in ERRORS.get(variant.name, {}).items():
            cell: dict[str, Any] = {"variant": variant.name, "block": variant.block, "seed": seed, "threads": 1}
            cell |= {"forces_mae_meV_per_A": error, "energy_mae_meV": 1.0, "steps": 100, "parameters": 1234}
            cell |= {"device": "cpu", "errors_of": "validation structures", "cpu_seconds_per_second": 0.99}
            (out / "cells" / f"{variant.slug}-seed{seed}.json").write_text(json.dumps(cell))
    times = {name: {kind: dict.fromkeys(("median", "p10", "p90"), time) for kind in ("evaluate", "train")}
             for name, time in TIMES.items()}  # fmt: skip
    (out / "times.json").write_text(json.dumps({"us_per_atom": times}))
    grid = {"data": "some/ethanol.npz", "size": "small", "cutoff": 5.0, "minutes": 3.0, "batch_size": 8}
    (out / "grid.json").write_text(json.dumps({**grid, "compile": "off", "model": {"num_layers": 3}}))
    return out
