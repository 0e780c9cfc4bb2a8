"""What do time and memory of a periodic neighbour list grow with? Silicon from 2 to 100,000 atoms, cutoff 5 A.

Diamond Si, atoms displaced at random by some 0.05 A, positions in float64 (a cell of 68,000 A has no room for float32):
cubic cells, one cell of 1 x 1 x 12,500 cubes, and the two-atom cell, which is smaller than the cutoff. First the edges
are compared with those of ASE's own search, for small cells; then every record comes from a process of its own with one
thread: the median CPU time of several calls, and how far the peak of the resident memory of the first call lies above
the memory before it (Linux: VmHWM after /proc/self/clear_refs). Of it the caller keeps the edges, 40 bytes each.

    python -m benchmarks.speed.neighbors             writes benchmarks/results/neighbors.json
    python -m benchmarks.speed.neighbors --smoke     a cell of 1 x 1 x 64 cubes, nothing written
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import time
from typing import Any

import numpy as np
import torch
from ase.build import bulk
from ase.neighborlist import neighbor_list as ase_neighbor_list

from benchmarks.record import RESULTS, provenance, write
from benchmarks.speed.memory import memory, reset_peak
from pyg_mpnn import neighbor_list

CUTOFF = 5.0
CELLS = {  # primitive, or cubes of 8 atoms along each direction
    "primitive": None,
    "cube": [(2, 2, 2), (4, 4, 4), (8, 8, 8), (16, 16, 16), (25, 25, 20)],
    "long": [(1, 1, 125), (1, 1, 12_500)],
}
SMOKE = {"long": [(1, 1, 64)]}
BACKENDS = ("vesin", "torch")  # torch-cluster knows no periodic cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--one", nargs=3, metavar=("BACKEND", "SHAPE", "REPEAT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.one:
        print(json.dumps(measure(*options.one)))
        return
    check_edges()
    records = []
    for shape, sizes in (SMOKE if options.smoke else CELLS).items():
        for repeat in sizes or [None]:
            for backend in BACKENDS:
                records.append(in_own_process(backend, shape, repeat))
                print(json.dumps(records[-1]), flush=True)
    if not options.smoke:
        result = provenance() | {"seed": 0, "cutoff_A": CUTOFF, "dtype": "float64", "units": "in the names"}
        write(RESULTS / "neighbors.json", result | {"records": records, "growth": growth(records)})


def silicon(repeat: list[int] | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Positions and cell of displaced Si: the primitive cell, or so many cubic ones along each direction."""
    crystal = bulk("Si", a=5.43) if repeat is None else bulk("Si", a=5.43, cubic=True) * repeat
    positions = crystal.positions + np.random.default_rng(0).normal(scale=0.05, size=(len(crystal), 3))
    return torch.from_numpy(positions), torch.from_numpy(crystal.cell.array)


def check_edges() -> None:
    """Every back end finds the edges that ASE finds."""
    for repeat in (None, [2, 2, 2], [1, 1, 9]):
        pos, cell = silicon(repeat)
        crystal = bulk("Si", a=5.43) if repeat is None else bulk("Si", a=5.43, cubic=True) * repeat
        crystal.positions = pos.numpy()
        i, j, shift = ase_neighbor_list("ijS", crystal, CUTOFF)
        expected = sorted(zip(i.tolist(), j.tolist(), map(tuple, shift.tolist()), strict=True))
        for backend in BACKENDS:
            edge_index, shifts = neighbor_list(pos, CUTOFF, cell=cell, pbc=torch.ones(3, dtype=bool), backend=backend)
            rows = zip(edge_index[1].tolist(), edge_index[0].tolist(), map(tuple, shifts.tolist()), strict=True)
            if list(rows) != expected:
                raise AssertionError(f"{backend} and ASE find different edges in Si, repeated {repeat}")


def in_own_process(backend: str, shape: str, repeat: tuple[int, ...] | None) -> dict[str, Any]:
    """One record, measured in a new process, so that no other's memory counts."""
    command = [sys.executable, "-m", "benchmarks.speed.neighbors", "--one", backend, shape, json.dumps(repeat)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def measure(backend: str, shape: str, repeat_json: str) -> dict[str, Any]:
    """Seconds and peak memory of one neighbour list."""
    repeat = json.loads(repeat_json)
    warm_pos, warm_cell = silicon(None)
    pbc = torch.ones(3, dtype=torch.bool)
    neighbor_list(warm_pos, CUTOFF, cell=warm_cell, pbc=pbc, backend=backend)
    pos, cell = silicon(repeat)
    before = reset_peak()
    edges = neighbor_list(pos, CUTOFF, cell=cell, pbc=pbc, backend=backend)
    peak = memory("VmHWM") - before
    num_atoms, num_edges = len(pos), edges.edge_index.shape[1]
    del edges
    times = []
    while len(times) < 5 or (sum(times) < 1.0 and len(times) < 200):
        start = time.process_time()
        neighbor_list(pos, CUTOFF, cell=cell, pbc=pbc, backend=backend)
        times.append(time.process_time() - start)
    return {
        "backend": backend,
        "shape": shape,
        "cubes": repeat,
        "atoms": num_atoms,
        "edges": num_edges,
        "cpu_seconds": statistics.median(times),
        "cpu_seconds_min": min(times),
        "cpu_seconds_max": max(times),
        "cpu_microseconds_per_atom": 1e6 * statistics.median(times) / num_atoms,
        "memory_before_bytes": before,
        "peak_above_bytes": peak,
        "peak_above_bytes_per_atom": peak / num_atoms,
        "edges_bytes_per_atom": 40 * num_edges / num_atoms,
    }


def growth(records: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Exponents of time and memory between the cubes of 4,096 atoms and the largest: 1 is linear."""
    exponents = {}
    for backend in BACKENDS:
        own = [record for record in records if record["backend"] == backend and record["shape"] == "cube"]
        small, large = next(record for record in own if record["atoms"] == 4096), own[-1]
        ratio = math.log(large["atoms"] / small["atoms"])
        exponents[backend] = {
            name: math.log(large[name] / small[name]) / ratio for name in ("cpu_seconds", "peak_above_bytes")
        }
    return exponents


def table() -> str:
    """Markdown table of the result file."""
    found = json.loads((RESULTS / "neighbors.json").read_text())
    head = ["cell (cubes of 8 atoms)", "atoms", "edges", "back end", "CPU seconds", "microseconds/atom"]
    lines = ["| " + " | ".join([*head, "peak memory (MB)", "bytes/atom"]) + " |", "|---" * 8 + "|"]
    for record in found["records"]:
        cubes = " x ".join(map(str, record["cubes"])) if record["cubes"] else "primitive"
        cells = [cubes, record["atoms"], record["edges"], record["backend"], f"{record['cpu_seconds']:.2g}"]
        cells += [f"{record['cpu_microseconds_per_atom']:.1f}", f"{record['peak_above_bytes'] / 1e6:.1f}"]
        big = record["atoms"] >= 4096
        cells += [f"{record['peak_above_bytes_per_atom']:.0f}" if big else ""]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    exponents = ", ".join(
        f"{backend} time {values['cpu_seconds']:.2f} and memory {values['peak_above_bytes']:.2f}"
        for backend, values in found["growth"].items()
    )
    return (
        "\n".join(lines)
        + f"\n\nExponents from 4,096 to 100,000 atoms in cubic cells (1 is linear): {exponents}. The torch "
        "search works on 8,192 atoms at a time, so that a part of its memory does not grow at all."
    )


if __name__ == "__main__":
    main()
