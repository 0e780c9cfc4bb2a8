"""Does compiled code of two threads keep the heap in order? Each path in fresh processes under glibc's heap checks.

Generated code of several threads was seen to corrupt the heap. Loops of ours are for one thread, products of matrices
take all (pyg_mpnn/deploy/support.py). This runs every kind of call of three potentials with two threads, one after
the other in each of many processes, with ``MALLOC_CHECK_=3`` and ``MALLOC_PERTURB_=7`` (and the library that makes
glibc obey the former), and compares every result with the eager one. Before them, a process that writes one byte beyond
a tensor must be stopped.

    python -m benchmarks.speed.two_threads                 50 processes; writes results/two_threads.json
    python -m benchmarks.speed.two_threads --only PATH     of some paths; the file keeps the others, with their commits
    python -m benchmarks.speed.two_threads --smoke         one process of one path, nothing written
"""

from __future__ import annotations

import argparse
import copy
import ctypes.util
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data
from tqdm import tqdm

from benchmarks.record import RESULTS, provenance, write
from pyg_mpnn import Potential, RadiusGraph
from pyg_mpnn.data import ethanol
from pyg_mpnn.deploy.compiler import Compiler
from pyg_mpnn.geometry import edge_vectors

CUTOFF = 5.0
SCALES: dict[str, Any] = {"cutoff": (3.0, CUTOFF), "attention": "softmax", "heads": 2, "readout": "learned"}
CALLS = ("evaluation", "evaluation with stress", "training", "training with stress", "exported package")
POTENTIALS: dict[str, tuple[str, torch.dtype, dict[str, Any]]] = {
    "base, float32": ("base", torch.float32, {}),
    "base, float64": ("base", torch.float64, {}),
    "small with two scales and attention, float32": ("small", torch.float32, SCALES),
}
PATHS = tuple(f"{call} of {name}" for name in POTENTIALS for call in CALLS)
SIZES = (1, 7, 32, 3)  # structures of a batch
AT_ONCE = 2  # processes: most of their time they trace, in one thread
OVERRUN = "import ctypes, torch; t = torch.empty(1000); ctypes.memset(t.data_ptr(), 1, 4001); del t"  # the control
PARITY = {torch.float32: 1e-4, torch.float64: 1e-9}  # relative to the largest entry, or in eV, A


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=PATHS, choices=PATHS)
    parser.add_argument("--processes", type=int, default=50)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="keep compiled code and eager results here, for another run")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    if options.child:
        child(options.only, options.threads, options.folder)
        return
    if options.smoke:
        options.only, options.processes = PATHS[:1], 1
    file = RESULTS / "two_threads.json"
    header = provenance() | {"threads of a process": options.threads, "checks": heap_checks()}
    kept = [] if options.smoke else other_paths(file, header, options.only)
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        records = run_paths(options.only, options.processes, options.threads, folder)
    if not options.smoke:
        found = [record | {"commit": header["commit"]} for record in records]
        write(file, header | {"paths": sorted(kept + found, key=lambda record: PATHS.index(record["path"]))})


def other_paths(file: Path, header: dict[str, Any], paths: Sequence[str]) -> list[dict[str, Any]]:
    """Records of the paths that are not run now, if the file has them."""
    old = json.loads(file.read_text()) if file.exists() else {"paths": []}
    kept = [{"commit": old["commit"]} | record for record in old["paths"] if record["path"] not in paths]
    for name in header.keys() - {"commit", "threads"}:
        if kept and old.get(name) != header[name]:
            raise RuntimeError(
                f"{file} has {name} {old.get(name)}, here it is {header[name]}: run all paths, without --only"
            )
    return kept


def heap_checks() -> dict[str, str]:
    """Environment that makes glibc check the heap at every call; MALLOC_CHECK_ needs the debug library since 2.34."""
    library = ctypes.util.find_library("c_malloc_debug") or "libc_malloc_debug.so.0"
    return {"MALLOC_CHECK_": "3", "MALLOC_PERTURB_": "7", "LD_PRELOAD": library}


def run_paths(paths: Sequence[str], processes: int, threads: int, folder: Path) -> list[dict[str, object]]:
    """Run the paths in fresh processes; a first one compiles and evaluates eagerly, the others load what it kept."""
    command = [sys.executable, "-m", "benchmarks.speed.two_threads", "--child", "--threads", str(threads)]
    command += ["--folder", str(folder), "--only", *paths]
    plain = os.environ | {"PYG_MPNN_CACHE": f"{folder}/cache", "OMP_NUM_THREADS": str(threads)}
    control = subprocess.run(
        [sys.executable, "-c", OVERRUN], env=plain | heap_checks(), capture_output=True, check=False
    )
    if control.returncode != -signal.SIGABRT:
        raise RuntimeError(f"the heap checks must stop a process that overruns a tensor, got exit {control.returncode}")
    subprocess.run(command, env=plain, check=True)  # without checks: the compiler is not on trial

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


def child(paths: Sequence[str], threads: int, folder: Path) -> None:
    """Go through the paths, and say which are done."""
    torch.set_num_threads(threads)
    for path in paths:
        run(path, folder)
        print(f"{path}: done", flush=True)


def run(path: str, folder: Path) -> None:
    """Evaluate batches of several sizes by compiled code, and compare with what eager evaluation gave."""
    call, _, name = path.partition(" of ")
    size, dtype, options = POTENTIALS[name]
    torch.manual_seed(0)
    potential = Potential.from_size(size, **options).to(dtype)  # type: ignore[arg-type]
    potential.set_reference({1: -13.6, 6: -1029.0, 8: -2041.0}, 1.0, [12.0] * len(potential.cutoffs))
    exported, trained = call == "exported package", call.startswith("training")
    stress = exported or call.endswith("stress")
    batches = [
        Batch.from_data_list([structure(first + k, stress, dtype) for k in range(count)])
        for first, count in enumerate([1] * len(SIZES) if exported else SIZES)
    ]
    file, package = folder / f"{path}.pt", folder / f"{path}.pt2"
    if not file.exists():
        torch.save([evaluate(potential, batch, trained, stress) for batch in batches], file)
    if exported and not package.exists():
        potential.export(package)
    compiled = copy.deepcopy(potential)
    compiled.compiler = Compiler("on")
    packaged = torch._inductor.aoti_load_package(str(package)) if exported else None
    for batch, wanted in zip(batches, torch.load(file), strict=True):
        found = call_package(packaged, potential, batch) if exported else evaluate(compiled, batch, trained, stress)
        for result, expected in zip(found, wanted, strict=True):
            largest = max(1.0, float(expected.abs().max()))
            torch.testing.assert_close(result, expected, rtol=0, atol=PARITY[dtype] * largest)


def structure(number: int, periodic: bool, dtype: torch.dtype) -> Data:
    """A frame of ethanol with its edges, alone or in a cell smaller than twice the cutoff."""
    frame = ethanol("test")[number]
    data = Data(z=frame.z, pos=frame.pos.to(dtype))
    if periodic:
        data.cell, data.pbc = 7.0 * torch.eye(3, dtype=dtype)[None], torch.ones(1, 3, dtype=torch.bool)
    return RadiusGraph(CUTOFF)(data)


def evaluate(potential: Potential, batch: Batch, trained: bool, stress: bool) -> list[Tensor]:
    """Forces and energy, stress, and gradients of the weights."""
    potential.train(trained).zero_grad()
    output = potential(batch, stress=stress)
    results = [output.forces, output.energy] + ([output.stress] if stress else [])
    if not trained:
        return results
    sum(result.square().mean() for result in results[:1] + results[2:]).backward()
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in potential.parameters()]
    return [result.detach() for result in results] + gradients


def call_package(package: Callable[..., Any], potential: Potential, batch: Batch) -> list[Tensor]:
    """The same by an exported package, for one structure; the potential only says which edges are near."""
    edges = (batch.edge_index, batch.shifts, batch.cell, batch.batch)
    near = tuple(potential.near_edges(edge_vectors(batch.pos, *edges)))
    energy, forces, stress, _ = package(batch.z, batch.pos.double(), *edges[:2], batch.cell[0].double(), near)
    return [forces.to(potential.dtype), energy[None], stress[None].to(potential.dtype)]


if __name__ == "__main__":
    main()
