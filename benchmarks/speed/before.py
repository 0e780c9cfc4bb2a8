"""Are energies and forces as fast as in an earlier commit? Both in turn, each in a process of its own, same weights.

    git worktree add /tmp/before dec9c62
    python -m benchmarks.speed.before /tmp/before         writes benchmarks/results/speed/before.json
    python -m benchmarks.speed.before . --smoke           against itself, eager, one round, nothing written

The model is base as that commit made it (isolated atoms "free"); energies of both are compared first. Processor time of
one thread, float32; the median over all rounds of the ratio, with its quartiles. Several pairs of processes take their
turns, for two processes of one tree differ by some per cent: it is luck which memory is handed out again.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import RESULTS, provenance, write
from benchmarks.speed.works import replicas, sample

ROOT = Path(__file__).parents[2]
WORKS = [(work, mode) for mode in ("compiled", "eager") for work in ("one ethanol", "32 aspirin", "step of 8 aspirin")]
WORKER = """
import json, sys, time, torch, numpy as np
sys.path.insert(0, sys.argv[1])
from pyg_mpnn import Potential, neighbor_list
import pyg_mpnn
assert pyg_mpnn.__file__.startswith(sys.argv[1]), pyg_mpnn.__file__
torch.set_num_threads(1)
structures = np.load(sys.argv[2])
options = json.loads(sys.argv[3])
calls = {}

def make(work, mode):
    torch.manual_seed(0)
    potential = Potential.from_size("base", **options)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in sorted(potential.named_parameters()):
            parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    potential.set_reference({1: -13.6, 6: -1029.0, 8: -2041.8}, 1.0, [14.0])
    trained = work.startswith("step")
    potential.compile("on" if mode == "compiled" else "off").train(trained)
    molecule, copies = ("ethanol", 1) if "ethanol" in work else ("aspirin", 8 if trained else 32)
    z = torch.from_numpy(structures[molecule + "_z"]).long()
    pos = torch.from_numpy(structures[molecule + "_pos"][:copies]).reshape(-1, 3)
    batch = torch.arange(copies).repeat_interleave(len(z))
    z = z.repeat(copies)
    edges = neighbor_list(pos, 5.0, batch=batch)
    pos = pos.float()

    def call():
        output = potential(z, pos, batch, edge_index=edges.edge_index)
        if trained:
            potential.zero_grad()
            (output.forces.square().mean() + output.energy.mean()).backward()
        return output

    return call

for line in sys.stdin:
    work, mode, repeats = json.loads(line)
    if (work, mode) not in calls:
        calls[work, mode] = call = make(work, mode)
        for _ in range(10 if repeats else 1):
            output = call()
        print(json.dumps(output.energy.tolist()), flush=True)
        continue
    start = time.process_time()
    for _ in range(repeats):
        calls[work, mode]()
    print(json.dumps((time.process_time() - start) / repeats), flush=True)
"""


class Worker:
    """A process that times the package of one tree."""

    def __init__(self, tree: Path, structures: Path, options: dict[str, Any]) -> None:
        command = [sys.executable, "-c", WORKER, str(tree.resolve()), str(structures), json.dumps(options)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(tree.resolve())}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen(command, env=environment, text=True, cwd=tree, **pipes)  # type: ignore[call-overload]

    def ask(self, *question: Any) -> Any:
        """What it answers."""
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        while not (line := self.process.stdout.readline()).startswith(("[", *"0123456789")):
            if not line:
                raise RuntimeError(f"a worker ended: {self.process.wait()}")
        return json.loads(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, help="tree of the earlier commit")
    parser.add_argument("--rounds", type=int, default=20, help="of each pair of processes")
    parser.add_argument("--pairs", type=int, default=4, help="pairs of processes, one after the other")
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    structures = Path(tempfile.mkdtemp()) / "structures.npz"
    save(structures)
    free = {} if options.smoke else {"isolated": "free"}
    works = [("one ethanol", "eager")] if options.smoke else WORKS
    times: dict[tuple[str, str], list[dict[str, float]]] = {work: [] for work in works}
    for _ in range(1 if options.smoke else options.pairs):
        workers = {"before": Worker(options.before, structures, {}), "now": Worker(ROOT, structures, free)}
        for work, found in times.items():
            found += measure(workers, *work, 1 if options.smoke else options.rounds)
        for worker in workers.values():
            worker.process.stdin.close()
            worker.process.wait()
    records = [summary(*work, found) for work, found in times.items()]
    if not options.smoke:
        commit = subprocess.run(
            ["git", "-C", str(options.before), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
        units = "ms of processor time a call; ratio: now over before, median and quartiles over the rounds"
        about = {
            "before": commit,
            "dtype": "float32",
            "size": "base",
            "units": units,
            "pairs": options.pairs,
            "records": records,
        }
        write(RESULTS / "speed" / "before.json", provenance() | about)


def save(path: Path) -> None:
    """The structures of both, in a file."""
    ethanol, aspirin = replicas(1), sample("aspirin", 32)
    np.savez(
        path,
        ethanol_z=ethanol.z,
        ethanol_pos=ethanol.pos.reshape(1, -1, 3).astype(float),
        aspirin_z=aspirin.z[:21],
        aspirin_pos=aspirin.pos.reshape(32, -1, 3).astype(float),
    )


def measure(workers: dict[str, Worker], work: str, mode: str, rounds: int) -> list[dict[str, float]]:
    """Times of both in turn, the first alternating, in s."""
    energies = [worker.ask(work, mode, 1) for worker in workers.values()]
    assert all(abs(a - b) < 1e-3 for a, b in zip(*energies, strict=True)), f"other energies: {energies}"
    repeats = 10 if work == "one ethanol" else 1
    return [
        {name: workers[name].ask(work, mode, repeats) for name in list(workers)[:: 1 if k % 2 else -1]}
        for k in range(rounds)
    ]


def summary(work: str, mode: str, times: list[dict[str, float]]) -> dict[str, Any]:
    """Medians over the rounds of all pairs."""
    ratios = [each["now"] / each["before"] for each in times]
    quartiles = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else 3 * ratios
    found = {name: 1e3 * statistics.median(each[name] for each in times) for name in ("before", "now")}
    print(f"{mode}, {work}: {found['before']:.3f} -> {found['now']:.3f} ms, ratio {quartiles[1]:.3f}", flush=True)
    return {
        "work": work,
        "mode": mode,
        "rounds": len(times),
        "ms": found,
        "ratio": quartiles[1],
        "quartiles": quartiles,
    }


if __name__ == "__main__":
    main()
