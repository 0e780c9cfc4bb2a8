"""What does it gain to keep freed memory? The same work with it and with the C library's defaults.

How freed memory is treated depends on how blocks happen to lie, so each setting gets several fresh processes; calls are
in rounds over all of them.

    python -m benchmarks.speed.allocator            writes results/allocator.json
    python -m benchmarks.speed.allocator --smoke    seconds, nothing written
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.record import RESULTS, provenance, write
from benchmarks.speed.environments import ALLOCATOR
from benchmarks.speed.models import CUTOFF, MODELS
from benchmarks.speed.process import Process
from benchmarks.speed.runs import ELEMENTS
from benchmarks.speed.works import WORKS
from benchmarks.speed.works import write as write_work

SETTINGS = {"kept": ALLOCATOR, "defaults": {"GLIBC_TUNABLES": ""}}  # the latter keeps the package from changing them


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--works", nargs="+", default=["aspirin32", "train32", "silicon8000"])
    parser.add_argument("--modes", nargs="+", default=["eager", "compiled"])
    parser.add_argument("--model", default="ours")
    parser.add_argument("--processes", type=int, default=4, help="of each setting")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    if options.smoke:
        options.works, options.modes, options.model = ["aspirin"], ["eager"], "ours-small"
        options.processes, options.rounds = 1, 2
    with tempfile.TemporaryDirectory() as folder:
        records = [
            record
            for work in options.works
            for mode in options.modes
            if not (WORKS[work].alone and mode == "eager")  # of a crystal, all processes together take too much memory
            for record in run(work, mode, options, folder)
        ]
    if not options.smoke:
        about = provenance() | {"threads": 1, "model": options.model, "settings": SETTINGS, "rounds": options.rounds}
        write(RESULTS / "allocator.json", about | {"records": records})


def run(work: str, mode: str, options: argparse.Namespace, folder: str) -> list[dict[str, Any]]:
    """Median milliseconds of each process, by setting."""
    path = str(write_work(Path(folder), work, CUTOFF))
    names = [*SETTINGS] * options.processes
    processes = [(name, start(mode, options.model, name, folder)) for name in names]
    times: list[list[float]] = [[] for _ in processes]
    try:
        for _, process in processes:
            answered(process.ask("prepare", name=work, kind=WORKS[work].kind, path=path))
        for _ in range(options.rounds):
            for index in random.sample(range(len(processes)), len(processes)):
                times[index] += answered(processes[index][1].ask("run", name=work, seconds=0.3))["seconds"]
    finally:
        for _, process in processes:
            process.close()
    records = []
    for setting in SETTINGS:
        medians = [
            1e3 * statistics.median(seconds)
            for (name, _), seconds in zip(processes, times, strict=True)
            if name == setting
        ]
        records.append({"work": work, "mode": mode, "setting": setting, "median_ms_of_each_process": sorted(medians)})
        print(records[-1], flush=True)
    return records


def start(mode: str, model: str, setting: str, folder: str) -> Process:
    """A process with a setting of the C library."""
    described = MODELS[model]
    settings = {"cutoff": CUTOFF, "elements": ELEMENTS[False]}
    log = Path(folder) / "log.txt"
    return Process(sys.executable, described, mode, 1, settings, log, SETTINGS[setting])


def answered(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer, unless it is an error."""
    if "error" in answer:
        raise RuntimeError(answer["error"])
    return answer


if __name__ == "__main__":
    main()
