"""How long does compiling take, cold and from the cache, until the first result is there?

Every time is that of a new process, from the call to its result; importing is not counted. Cold means an empty folder
for compiled code.

python -m benchmarks.speed.compiling             base, two processes a work; writes benchmarks/results/compiling.json
python -m benchmarks.speed.compiling --smoke     a tiny potential, nothing written
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

import torch
from torch_geometric.data import Batch

from benchmarks.record import RESULTS, provenance, write
from pyg_mpnn import Potential
from pyg_mpnn.data import ethanol

WORKS = ("energies and forces", "training step", "both, as a training needs them")
TINY = {"hidden_channels": 8, "edge_dim": 4, "channels": 2, "num_layers": 1, "num_radial": 4, "l_max": 1}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--work", help=argparse.SUPPRESS)  # of the new process
    options = parser.parse_args()
    if options.work:
        print(seconds(options.work, options.smoke))
        return
    records = []
    for work in WORKS[: 1 if options.smoke else None]:
        with tempfile.TemporaryDirectory() as folder:
            for cache in ("cold", "kept"):
                records.append({"work": work, "cache": cache, "seconds": in_new_process(work, folder, options.smoke)})
                print(records[-1], flush=True)
    if not options.smoke:
        cores = {"cores": len(os.sched_getaffinity(0))}
        write(RESULTS / "compiling.json", provenance() | cores | {"model": "base", "records": records})


def in_new_process(work: str, folder: str, tiny: bool) -> float:
    """Seconds until the first result, with compiled code kept in a folder."""
    command = [sys.executable, "-m", "benchmarks.speed.compiling", "--work", work, *(["--smoke"] if tiny else [])]
    environment = os.environ | {"PYG_MPNN_CACHE": folder, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return float(json.loads(done.stdout.splitlines()[-1]))


def seconds(work: str, tiny: bool) -> float:
    """Seconds from the call to its result."""
    torch.set_num_threads(1)
    potential = Potential.from_size("small" if tiny else "base", **(TINY if tiny else {})).compile("on")
    potential.set_reference({1: -13.6, 6: -1029.0, 8: -2041.0}, 1.0, [8.0])
    batch = Batch.from_data_list(ethanol("train")[:8])
    start = time.perf_counter()
    if work != WORKS[1]:
        potential.eval()(batch)
    if work != WORKS[0]:
        potential.train()(batch).forces.square().sum().backward()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
