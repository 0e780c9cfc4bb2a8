"""Does compiled code of two threads keep the heap in order? Each path in fresh processes under glibc's heap checks.

Generated code of several threads was seen to corrupt the heap, so compiled code is allowed the number of threads that
was clean here (pyg_mpnn/deploy/support.py). This runs every path with two threads, one after the other in each of many
processes, with ``MALLOC_CHECK_=3`` and ``MALLOC_PERTURB_=7`` (and the library that makes glibc obey the former), and
compares every result with the eager one.

    python -m benchmarks.speed.two_threads                 50 processes; writes results/two_threads.json
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
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch_geometric.data import Batch, Data
from tqdm import tqdm

from benchmarks.record import RESULTS, provenance, write
from pyg_mpnn import Potential, RadiusGraph
from pyg_mpnn.data import ethanol
from pyg_mpnn.deploy import compiler

PATHS = ("evaluation", "evaluation with stress", "training", "training with stress")
AT_ONCE = 2  # processes: most of their time they import, under heap checks
PARITY = 1e-4  # eV/A and relative: rounding of float32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=PATHS, choices=PATHS)
    parser.add_argument("--processes", type=int, default=50)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    if options.child:
        child(options.only, options.threads)
        return
    if options.smoke:
        options.only, options.processes = PATHS[:1], 1
    with tempfile.TemporaryDirectory() as cache:
        records = run_paths(options.only, options.processes, options.threads, cache)
    if not options.smoke:
        note = {"threads of a process": options.threads, "size": "small", "dtype": "float32", "checks": heap_checks()}
        write(RESULTS / "two_threads.json", provenance() | note | {"paths": records})


def heap_checks() -> dict[str, str]:
    """Environment that makes glibc check the heap at every call; MALLOC_CHECK_ needs the debug library since 2.34."""
    library = ctypes.util.find_library("c_malloc_debug") or "libc_malloc_debug.so.0"
    return {"MALLOC_CHECK_": "3", "MALLOC_PERTURB_": "7", "LD_PRELOAD": library}


def run_paths(paths: Sequence[str], processes: int, threads: int, cache: str) -> list[dict[str, object]]:
    """Run the paths in fresh processes; a first one compiles, the others load what it kept."""
    command = [sys.executable, "-m", "benchmarks.speed.two_threads", "--child", "--threads", str(threads), "--only"]
    command += paths
    plain = os.environ | {"PYG_MPNN_CACHE": cache, "OMP_NUM_THREADS": str(threads)}
    subprocess.run(command, env=plain, check=True, capture_output=True)  # without checks: the compiler is not on trial

    def start(_: int) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, env=plain | heap_checks(), capture_output=True, text=True, check=False)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        results = list(tqdm(pool.map(start, range(processes)), total=processes))
    ends: dict[str, Counter[str]] = {path: Counter() for path in paths}
    for done in results:
        last = (done.stderr.strip().splitlines() or [""])[-1]
        reached = done.stdout.splitlines()
        for path in paths:
            ends[path]["clean" if f"{path}: done" in reached else f"exit {done.returncode}: {last}"] += 1
        if done.returncode != 0:
            print(f"exit {done.returncode} after {reached}: {last}", flush=True)
    return [{"path": path, "processes": processes, "ends": dict(counted)} for path, counted in ends.items()]


def child(paths: Sequence[str], threads: int) -> None:
    """Go through the paths, and say which are done."""
    for path in paths:
        run(path, threads)
        print(f"{path}: done", flush=True)


def run(path: str, threads: int) -> None:
    """Evaluate batches of several shapes, compiled and eagerly, and compare."""
    torch.set_num_threads(threads)
    compiler.why_not = lambda device: None  # type: ignore[attr-defined]  # more threads are refused otherwise
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
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in potential.parameters()]
    return [result.detach() for result in results] + gradients


if __name__ == "__main__":
    main()
