"""Trains one peer: started by `run.py` with the Python of the peer's environment.

python -m benchmarks.peers.worker JOB.json ANSWER.json
"""

from __future__ import annotations

import importlib
import json
import platform
import sys
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import torch

from benchmarks.peers.frames import Frames
from benchmarks.peers.loop import Training


def main() -> None:
    job: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
    torch.set_num_threads(job["threads"])
    frames = Frames(job["frames"])
    settings = job["settings"] | {"cutoff": job["recipe"]["cutoff"], "elements": sorted(set(frames.z.tolist()))}
    if job["recipe"]["needs_neighbors"]:
        settings["neighbors"] = frames.neighbors
    adapter = importlib.import_module(f"benchmarks.speed.peers.{job['module']}").Peer(**settings)
    training = Training(adapter, frames, job["recipe"], job["learning_rate"], job["seed"])
    answer = training.run(job["minutes"])
    if job["test"]:
        answer["test"] = training.test()
    packages = {found.metadata["Name"].lower(): found.version for found in distributions()}
    answer["environment"] = {"python": platform.python_version()} | dict(sorted(packages.items()))
    Path(sys.argv[2]).write_text(json.dumps(answer))


if __name__ == "__main__":
    main()
