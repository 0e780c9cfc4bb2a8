"""One cell of the comparison: a training, and the file that says what came of it."""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch_geometric.data import Data

from pyg_mpnn.training.ablation.settings import AblationSettings, Variant
from pyg_mpnn.training.logs import read_history
from pyg_mpnn.training.model_card import package_versions
from pyg_mpnn.training.train import train

Record = dict[str, Any]
_POINTS = 100  # of a learning curve


def read_cells(out: Path) -> list[Record]:
    """All cells of a folder.

    Args:
        out: The folder of the comparison.

    Returns:
        One record a cell, in the order of the file names.
    """
    return [json.loads(path.read_text()) for path in sorted((out / "cells").glob("*.json"))]


def cell_path(out: Path, variant: Variant, seed: int) -> Path:
    """File of a cell."""
    return out / "cells" / f"{variant.slug}-seed{seed}.json"


def run_cell(
    settings: AblationSettings, variant: Variant, seed: int, frames: Sequence[Data], test: Sequence[Data] | None
) -> Record:
    """Train one cell; what the training prints goes to ``log.txt`` in the folder of the comparison.

    Args:
        settings: The comparison.
        variant: The potential to train.
        seed: Seed of weights, split and order.
        frames: Structures to train on and to validate.
        test: Structures to test, or None.

    Returns:
        Errors, sizes and the learning curve; ``error`` in their place where the training diverged.

    Units:
        meV, meV/A and minutes, as the names say.
    """
    record: Record = {"variant": variant.name, "block": variant.block, "model": variant.model, "seed": seed}
    record |= {"cutoffs_A": list(variant.cutoffs)}
    clocks = time.monotonic(), time.process_time()
    with tempfile.TemporaryDirectory() as scratch, open(Path(settings.out) / "log.txt", "a") as log:
        try:
            with contextlib.redirect_stdout(log):
                result = train(settings.training(variant, seed, f"{scratch}/run"), frames=frames, test=test)
        except FloatingPointError as error:
            return record | {"error": str(error)}
        history = read_history(result.out / "metrics.csv")
        card = json.loads((result.out / "model_card.json").read_text())
    wall, cpu = time.monotonic() - clocks[0], time.process_time() - clocks[1]
    names = ("minutes", "step", "valid_forces_mae_meV_per_A", "valid_energy_mae_meV_per_atom")
    stride = -(-len(history) // _POINTS)
    return record | {
        "errors_of": "validation structures" if test is None else "test structures",
        **result.errors.summary(),
        "parameters": card["model"]["parameters"],
        "config": card["model"]["config"],
        "steps": int(history[-1]["step"]),
        "epochs": int(history[-1]["epoch"]),
        "minutes_done": history[-1]["minutes"],
        "steps_skipped": card["training"]["steps_skipped"],
        "recoveries": card["training"]["recoveries"],
        "training_indices_sha256": card["data"]["training_indices_sha256"],
        "threads": torch.get_num_threads(),
        "cpu_seconds_per_second": cpu / wall,
        "device": card["training"]["device"],
        "versions": package_versions(),
        "learning_curve": [{name: row[name] for name in names} for row in history[::-1][::stride][::-1]],
    }
