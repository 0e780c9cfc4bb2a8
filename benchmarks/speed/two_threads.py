"""Does compiled code of two threads keep the heap in order? Each path in fresh processes under glibc's heap checks.

Compiled code is limited to one thread (pyg_mpnn/deploy/support.py) because one generated kernel was seen to corrupt the
heap with two. This runs each path with two threads all the same, in many processes, with ``MALLOC_CHECK_=3`` and
``MALLOC_PERTURB_=7`` (and the library that makes glibc obey the former), and compares every result with the eager one.

    python -m benchmarks.speed.two_threads                 50 processes a path; writes results/two_threads.json
    python -m benchmarks.speed.two_threads --smoke         one process of one path, nothing written
"""

from __future__ import annotations

import argparse
import copy
import ctypes.util
import os
import subprocess
import sys
import tempfile
from collections import Counter

import torch
from torch_geometric.data import Batch, Data
from tqdm import tqdm

from benchmarks.record import RESULTS, provenance, write
from pyg_mpnn import Potential, RadiusGraph
from pyg_mpnn.data import ethanol
from pyg_mpnn.deploy import compiler

PATHS = ("evaluation", "evaluation with stress", "training", "training with stress")
PARITY = 1e-4  # eV/A and relative: rounding of float32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=PATHS, choices=PATHS)
    parser.add_argument("--processes", type=int, default=50)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    if options.child:
        child(options.child, options.threads)
        return
    if options.smoke:
        options.only, options.processes = PATHS[:1], 1
    with tempfile.TemporaryDirectory() as cache:
        records = [run_path(path, options.processes, options.threads, cache) for path in options.only]
    if not options.smoke:
        note = {"threads of a process": options.threads, "size": "small", "dtype": "float32", "checks": heap_checks()}
        write(RESULTS / "two_threads.json", provenance() | note | {"paths": records})


def heap_checks() -> dict[str, str]:
    """Environment that makes glibc check the heap at every call; MALLOC_CHECK_ needs the debug library since 2.34."""
    library = ctypes.util.find_library("c_malloc_debug") or "libc_malloc_debug.so.0"
    return {"MALLOC_CHECK_": "3", "MALLOC_PERTURB_": "7", "LD_PRELOAD": library}


def run_path(path: str, processes: int, threads: int, cache: str) -> dict[str, object]:
    """Run one path in fresh processes; the first compiles, the others load what it kept."""
    ends: Counter[str] = Counter()
    command = [sys.executable, "-m", "benchmarks.speed.two_threads", "--child", path, "--threads", str(threads)]
    plain = os.environ | {"PYG_MPNN_CACHE": cache, "OMP_NUM_THREADS": str(threads)}
    subprocess.run(command, env=plain, check=True, capture_output=True)  # without checks: the compiler is not on trial
    for _ in tqdm(range(processes), desc=path):
        done = subprocess.run(command, env=plain | heap_checks(), capture_output=True, text=True, check=False)
        last = (done.stderr.strip().splitlines() or [""])[-1]
        ends["clean" if done.returncode == 0 else f"exit {done.returncode}: {last}"] += 1
    print(path, dict(ends), flush=True)
    return {"path": path, "processes": processes, "ends": dict(ends)}


def child(path: str, threads: int) -> None:
    """Evaluate batches of several shapes, compiled and eagerly, and compare."""
    torch.set_num_threads(threads)
    compiler.why_not = lambda device: None  # type: ignore[attr-defined]  # two threads are refused otherwise
    torch.manual_seed(0)
    eager = Potential.from_size("small")
    eager.set_reference({1: -13.6, 6: -1029.0, 8: -2041.0}, 1.0, [12.0])
    trained, stress = path.startswith("training"), path.endswith("stress")
    compiled = copy.deepcopy(eager)
    compiled.compiler = compiler.Compiler("on")
    for size in (1, 7, 32, 3):
        batch = Batch.from_data_list([structure(k, periodic=stress) for k in range(size)])
        results = [evaluate(potential, batch, trained, stress) for potential in (eager, compiled)]
        for wanted, found in zip(*results, strict=True):
            torch.testing.assert_close(found, wanted, rtol=PARITY, atol=PARITY)


def structure(number: int, periodic: bool) -> Data:
    """A frame of ethanol with its edges, alone or in a cell smaller than twice the cutoff."""
    frame = ethanol("test")[number]
    data = Data(z=frame.z, pos=frame.pos.float())
    if periodic:
        data.cell, data.pbc = 7.0 * torch.eye(3)[None], torch.ones(1, 3, dtype=torch.bool)
    return RadiusGraph(5.0)(data)


def evaluate(potential: Potential, batch: Batch, trained: bool, stress: bool) -> list[torch.Tensor]:
    """Forces, and stress or gradients of the weights."""
    potential.train(trained).zero_grad()
    output = potential(batch, stress=stress)
    results = [output.forces, output.energy] + ([output.stress] if stress else [])
    if not trained:
        return results
    sum(result.float().square().mean() for result in results[:1] + results[2:]).backward()
    gradients = [parameter.grad for parameter in potential.parameters() if parameter.grad is not None]
    return [result.detach() for result in results] + gradients


if __name__ == "__main__":
    main()
