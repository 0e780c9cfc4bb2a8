"""Prepares and times the works, and keeps the records."""

from __future__ import annotations

import argparse
import random
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.speed.environments import ALLOCATOR, NotInstalledError, python_of
from benchmarks.speed.models import CUTOFF, MODELS
from benchmarks.speed.process import Process
from benchmarks.speed.works import WORKS, write

ELEMENTS = {False: [1, 6, 7, 8], True: [14]}  # of molecules, of crystals
LARGEST_FOR_PEERS = 5000  # atoms; larger crystals are for ours
SMALL = "silicon64"  # compiles and warms up what then gets a larger crystal
KINDS = {"neighbors": ("eager",), "dynamics": ("eager", "compiled", "torchscript")}  # with fewer modes than the rest
Record = dict[str, Any]


class Comparison:
    """Runs works, one method for each way to run them.

    Args:
        options: the command line of `compare.py`.
        folder: for the files of the works and what the processes print.
        save: called after every work.
    """

    def __init__(self, options: argparse.Namespace, folder: Path, save: Callable[[], None]) -> None:
        self.options, self.folder, self.save = options, folder, save
        self.clock = {"seconds": options.seconds, "cpu_time": options.cpu_time}
        self.records: list[Record] = []
        self.versions: dict[str, dict[str, str]] = {}
        self.not_installed: dict[str, str] = {}
        self.pythons: dict[str, str] = {}
        for name in options.models:
            environment = MODELS[name].environment
            if environment not in self.pythons:
                try:
                    self.pythons[environment] = python_of(environment, options.environments, options.torch)
                except NotInstalledError as error:
                    self.pythons[environment], self.not_installed[environment] = "", str(error)

    def interleaved(self, names: list[str], own_cutoff: bool = False) -> None:
        """Time works in rounds over all models, each of which is one process for all of them."""
        processes = [
            (model, mode, self._process(model, mode, own_cutoff))
            for model, mode in self._modes()
            if not own_cutoff or MODELS[model].own_cutoff != CUTOFF
        ]
        try:
            for name in names:
                self._rounds(name, processes)
        finally:
            for _, _, process in processes:
                process.close()

    def one_by_one(self, names: list[str]) -> None:
        """Time works and measure their memory, every model in a new process."""
        for name in names:
            records = []
            for model, mode in self._modes(crystals=True):
                if WORKS[name].atoms > LARGEST_FOR_PEERS and not MODELS[model].ours:
                    continue
                process = self._process(model, mode, crystals=True)
                try:
                    records.append(self._alone(name, model, mode, process))
                finally:
                    process.close()
            self._keep(records)

    def _modes(self, crystals: bool = False) -> list[tuple[str, str]]:
        modes = []
        for model in self.options.models:
            own = MODELS[model].modes + (("low-memory",) if crystals and MODELS[model].ours else ())
            modes += [(model, mode) for mode in own if {mode, f"{model}:{mode}"} & set(self.options.modes or own)]
        return modes

    def _process(self, name: str, mode: str, own_cutoff: bool = False, crystals: bool = False) -> Process:
        model = MODELS[name]
        settings = {"cutoff": model.own_cutoff if own_cutoff else CUTOFF, "elements": ELEMENTS[crystals]}
        python = self.pythons[model.environment]
        log = self.folder / f"{name}-{mode}.log"
        allocator = ALLOCATOR if self.options.keep_memory else {}
        return Process(python, model, mode, self.options.threads, settings, log, allocator)

    def _prepare(self, name: str, model: str, process: Process) -> Record:
        """Sizes of a prepared work, or an error."""
        environment = MODELS[model].environment
        if environment in self.not_installed:
            return {"error": self.not_installed[environment]}
        if (environment or "pyg_mpnn") not in self.versions:
            self.versions[environment or "pyg_mpnn"] = process.ask("versions")
        path = write(self.folder, name, process.cutoff)
        return process.ask("prepare", name=name, kind=WORKS[name].kind, path=str(path))

    def _rounds(self, name: str, processes: list[tuple[str, str, Process]]) -> None:
        records, ready, seconds = [], [], {}
        for model, mode, process in processes:
            if mode not in KINDS.get(WORKS[name].kind, (mode,)):
                continue
            sizes = self._prepare(name, model, process)
            records.append(self._record(name, model, mode, process, sizes))
            print(f"{name} {model} {mode}: {sizes.get('error', 'ready')}", flush=True)
            if "error" not in sizes:
                ready.append((records[-1], process))
                seconds[len(ready) - 1] = []
        order = random.Random(0)
        for _ in range(self.options.rounds):
            for index in order.sample(range(len(ready)), len(ready)):
                record, process = ready[index]
                answer = process.ask("run", name=name, **self.clock)
                record.update({key: answer[key] for key in answer if key == "error"})
                seconds[index] += answer.get("seconds", [])
        for index, (record, process) in enumerate(ready):
            record.update(spread(seconds[index]))
            process.ask("baseline")
            record.update(memory(process.ask("peak", name=name)))
            process.ask("drop", name=name)
        self._keep(records)

    def _alone(self, name: str, model: str, mode: str, process: Process) -> Record:
        sizes = self._prepare(SMALL, model, process)
        if "error" not in sizes:
            process.ask("drop", name=SMALL)
            process.ask("baseline")
            sizes = self._prepare(name, model, process)
        record = self._record(name, model, mode, process, sizes)
        if "error" not in sizes:
            seconds: list[float] = []
            for _ in range(self.options.rounds):
                answer = process.ask("run", name=name, **self.clock)
                seconds += answer.get("seconds", [])
                if sum(seconds) > 60:
                    break
            record.update(spread(seconds))
            record.update(memory(process.ask("peak", name=name)))
        return record

    def _record(self, name: str, model: str, mode: str, process: Process, sizes: Record) -> Record:
        known = {"model": model, "mode": mode, "work": name, "threads": self.options.threads}
        return known | {"cutoff_A": process.cutoff} | sizes

    def _keep(self, records: list[Record]) -> None:
        """Add records; the floor of a model becomes a number of its other records."""
        floors = {record["model"]: record for record in records if record["mode"] == "floor" and "error" not in record}
        for record in records:
            floor = floors.get(record["model"])
            if floor and record["mode"] != "floor":
                record["matmul_floor_ms"], record["matmul_gflop"] = floor["median_ms"], floor["matmul_gflop"]
            self.records.append(record)
            shown = record.get("error") or f"{record['median_ms']:.4g} ms, {record.get('peak_memory_mb', 0):.0f} MB"
            print(f"{record['work']} {record['model']} {record['mode']}: {shown}", flush=True)
        self.save()


def spread(seconds: list[float]) -> Record:
    """Median, 10th and 90th percentile in ms."""
    if not seconds:
        return {"error": "no time was measured"}
    ordered = sorted(1e3 * value for value in seconds)
    at = {share: ordered[round(share * (len(ordered) - 1))] for share in (0.1, 0.9)}
    return {"median_ms": statistics.median(ordered), "p10_ms": at[0.1], "p90_ms": at[0.9], "calls": len(ordered)}


def memory(answer: Record) -> Record:
    """What a worker says about its memory, in MB."""
    if "error" in answer:
        return {"memory_error": answer["error"]}
    return {"peak_memory_mb": answer["above_baseline"] / 1e6, "process_peak_mb": answer["in_all"] / 1e6}
