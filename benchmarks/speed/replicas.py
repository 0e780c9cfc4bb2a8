"""What does a step of dynamics of one copy cost among many in one graph? ``pyg-mpnn md --replicas``, one thread.

python -m benchmarks.speed.replicas            1, 8 and 64 ethanols; writes results/replicas.json
python -m benchmarks.speed.replicas --smoke    2 copies, nothing written
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any, Literal

import torch
from ase import Atoms

from benchmarks.record import RESULTS, provenance, write
from pyg_mpnn import Potential
from pyg_mpnn.data import ethanol
from pyg_mpnn.md import run_dynamics
from pyg_mpnn.md.replicas import Batch

STEPS = {1: 150, 8: 50, 64: 16}
OPTIONS: dict[str, Any] = {"threads": 1, "compile": "off", "ensemble": "nvt", "trajectory_interval": 10}


def cost(model: Path, replicas: int, few: int, many: int, dtype: Literal["float32", "float64"]) -> dict[str, float]:
    """Times per copy and step in ms: of this process's CPU, which other processes do not lengthen, and by the clock."""
    times = []
    for steps in (few, many):
        with tempfile.TemporaryDirectory() as folder:
            start = time.process_time()
            summary = run_dynamics(
                model, "ethanol", Path(folder) / "md", steps=steps, replicas=replicas, dtype=dtype, **OPTIONS
            )
            times.append(time.process_time() - start)
    assert summary.ms_per_replica_step is not None
    return {
        "cpu_ms_per_replica_step": 1e3 * (times[1] - times[0]) / (many - few) / replicas,
        "wall_ms_per_replica_step": summary.ms_per_replica_step,
    }


def alone(model: Path, replicas: int, dtype: str) -> float:
    """CPU time of a call of the model alone per copy in ms, neighbours selected."""
    potential = Potential.load(model).to(getattr(torch, dtype)).eval()
    structure = ethanol("test")[0]
    atoms = Atoms(structure.z.numpy(), structure.pos.double().numpy())
    batch = Batch(potential, atoms, replicas, stress=False)
    copies = [atoms] * replicas
    batch(copies)
    calls = max(3, 200 // replicas)
    start = time.process_time()
    for _ in range(calls):
        batch(copies)
    return 1e3 * (time.process_time() - start) / calls / replicas


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
        cost(model, 2, 2, 4, "float64")  # warm-up
        dtypes: tuple[Literal["float64", "float32"], ...] = ("float64", "float32")
        for dtype in dtypes:
            for replicas, steps in {2: 4}.items() if smoke else STEPS.items():
                # twice the steps less the steps: reading, pictures and the time of one copy alone are in neither
                row = cost(model, replicas, steps, 2 * steps, dtype)
                rows[f"{replicas} replicas, {dtype}"] = row | {
                    "model_alone_cpu_ms_per_replica_step": alone(model, replicas, dtype)
                }
                print(replicas, dtype, rows[f"{replicas} replicas, {dtype}"])
    record = {
        "question": "time of a step of Langevin dynamics of one ethanol among so many in one graph, output included",
        "model": "Potential.from_size('small'), random weights, eager, one thread",
        "replicas": rows,
        "note": "other processes shared the core: the time of the CPU is the cost, that by the clock holds theirs",
        **provenance(),
    }
    if not smoke:
        write(RESULTS / "replicas.json", record)


if __name__ == "__main__":
    main()
