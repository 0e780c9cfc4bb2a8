"""What does a step of dynamics of one copy cost among many in one graph? ``pyg-mpnn md --replicas``, one thread.

python -m benchmarks.speed.replicas            1, 8 and 64 ethanols; writes results/replicas.json
python -m benchmarks.speed.replicas --smoke    2 copies, nothing written
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.record import RESULTS, provenance, write
from pyg_mpnn import Potential
from pyg_mpnn.md import run_dynamics

FEW, MANY = 10, 40  # steps: what both have (reading, pictures) is in neither's difference
OPTIONS: dict[str, Any] = {"threads": 1, "compile": "off", "ensemble": "nvt", "trajectory_interval": 10}


def cost(model: Path, replicas: int, few: int, many: int) -> dict[str, float]:
    """Times per copy and step in ms: of this process's CPU, which other processes do not lengthen, and by the clock."""
    times = []
    for steps in (few, many):
        with tempfile.TemporaryDirectory() as folder:
            start = time.process_time()
            summary = run_dynamics(model, "ethanol", Path(folder) / "md", steps=steps, replicas=replicas, **OPTIONS)
            times.append(time.process_time() - start)
    assert summary.ms_per_replica_step is not None
    return {
        "cpu_ms_per_replica_step": 1e3 * (times[1] - times[0]) / (many - few) / replicas,
        "wall_ms_per_replica_step": summary.ms_per_replica_step,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true")
    smoke = parser.parse_args().smoke
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "small.pt"
        potential = Potential.from_size("small")
        potential.set_reference({1: -13.6, 6: -1029.5, 8: -2042.1}, scale=0.05, neighbors=[8.0])
        potential.save(model)
        for replicas in (2,) if smoke else (1, 8, 64):
            rows[str(replicas)] = cost(model, replicas, *((4, 6) if smoke else (FEW, MANY)))
            print(replicas, rows[str(replicas)])
    record = {
        "question": "time of a step of Langevin dynamics of one ethanol among so many in one graph, output included",
        "model": "Potential.from_size('small'), random weights, atoms and network in float64, eager",
        "replicas": rows,
        "note": "other processes shared the core: the time of the CPU is the cost, that by the clock holds theirs",
        **provenance(),
    }
    if not smoke:
        write(RESULTS / "replicas.json", record)


if __name__ == "__main__":
    main()
