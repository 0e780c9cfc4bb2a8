"""Trains ours, with its own loop, for the same job as `worker.py` and with the same answer.

python -m benchmarks.peers.ours JOB.json ANSWER.json
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.peers.loop import score, thinned
from pyg_mpnn.training import TrainingSettings, train
from pyg_mpnn.training.evaluate import load_frames
from pyg_mpnn.training.logs import read_history
from pyg_mpnn.training.model_card import package_versions

NAMES = ("energy_mae_meV", "energy_mae_meV_per_atom", "forces_mae_meV_per_A", "forces_rmse_meV_per_A")


def main() -> None:
    job: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
    with tempfile.TemporaryDirectory() as scratch:
        settings = settings_of(job, f"{scratch}/run")
        tested = load_frames(job["data"][1], "test")[: job["count"]] if job["test"] else None
        result = train(settings, test=tested)
        history = read_history(result.out / "metrics.csv")
        card = json.loads((result.out / "model_card.json").read_text())
    curve = [
        {"minutes": row["minutes"], "step": row["step"]} | {name: row[f"valid_{name}"] for name in NAMES}
        for row in history
    ]
    seconds, steps = 60 * history[-1]["minutes"], int(history[-1]["step"])
    answer = {
        "minutes_done": seconds / 60,
        "steps": steps,
        "epochs": int(history[-1]["epoch"]),
        "mean_ms_per_step": 1e3 * seconds / steps,
        "frames_per_second": steps * settings.batch_size / seconds,
        "parameters": sum(value.numel() for value in result.potential.parameters()),
        "learning_curve": thinned(curve),
        "valid": min(curve, key=score),
        "split_sha256": card["data"]["training_indices_sha256"],
        "environment": package_versions(),
    }
    if job["test"]:
        answer["test"] = {name: asdict(result.errors)[name] for name in NAMES}
    Path(sys.argv[2]).write_text(json.dumps(answer))


def settings_of(job: dict[str, Any], out: str) -> TrainingSettings:
    """What the training is told; benchmarks/configs/peers-MOLECULE.yaml says the same to `pyg-mpnn train`."""
    recipe = job["recipe"]
    return TrainingSettings(
        data=job["data"][0],
        test=job["data"][1] if job["test"] else None,
        out=out,
        size=job["settings"]["size"],
        cutoff=recipe["cutoff"],
        minutes=job["minutes"],
        seed=job["seed"],
        threads=job["threads"],
        batch_size=recipe["batch_size"],
        optimizer="adamw",
        learning_rate=job["learning_rate"],
        ema_decay=recipe["ema_decay"],
        clip=recipe["clip"],
        device="cpu",
        compile=recipe["mode"],
    )


if __name__ == "__main__":
    main()
