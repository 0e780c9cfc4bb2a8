"""Time of energies and forces, by the processes and checks of `benchmarks.speed`, in rounds over all models."""

from __future__ import annotations

import argparse
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.peers.recipes import RECIPES
from benchmarks.speed.environments import ALLOCATOR
from benchmarks.speed.models import MODELS
from benchmarks.speed.process import Process
from benchmarks.speed.runs import spread
from benchmarks.speed.works import Structures, with_edges
from pyg_mpnn.training.evaluate import load_frames

COUNTS = (1, 32)  # structures in a call
SECONDS = 0.3  # of a model in a round
LEFT_OUT = ("floor", "low-memory")


def measure(
    options: argparse.Namespace, models: list[str], pythons: dict[str, str], data: tuple[str, str], scratch: Path
) -> list[dict[str, Any]]:
    """One record for each model, mode and number of structures; weights are random, which changes nothing.

    Each model is timed at the cutoff that it was trained with, on the first training frames.
    """
    frames = load_frames(data[0])[: max(COUNTS)]
    z = frames[0].z.numpy()
    works: dict[tuple[int, float], Path] = {}
    for cutoff in {RECIPES[model].cutoff for model in models}:
        for count in COUNTS:
            pos = torch.cat([frame.pos for frame in frames[:count]]).numpy()
            structures = Structures(np.tile(z, count), np.full(count, len(z)), pos)
            works[count, cutoff] = scratch / f"work-{count}-{cutoff}.npz"
            np.savez(works[count, cutoff], **with_edges(structures, cutoff))
    timing = _Timing(options, pythons, scratch)
    try:
        for model in models:
            timing.prepare(model, works, sorted(set(z.tolist())))
        timing.rounds()
    finally:
        timing.close()
    return timing.records


class _Timing:
    """The processes and what they said."""

    def __init__(self, options: argparse.Namespace, pythons: dict[str, str], scratch: Path) -> None:
        self.options, self.pythons, self.scratch = options, pythons, scratch
        self.records: list[dict[str, Any]] = []
        self.ready: list[tuple[dict[str, Any], Process]] = []
        self.processes: list[Process] = []

    def prepare(self, model: str, works: dict[tuple[int, float], Path], elements: list[int]) -> None:
        """Start a process for each mode; it builds, checks and warms up."""
        described, cutoff = MODELS[model], RECIPES[model].cutoff
        for mode in described.modes if described.environment in self.pythons else ():
            if mode in LEFT_OUT or (self.options.eager and mode != "eager"):
                continue
            settings = {"cutoff": cutoff, "elements": elements}
            log = self.scratch / f"time-{model}-{mode}.log"
            python = self.pythons[described.environment]
            process = Process(python, described, mode, self.options.threads, settings, log, ALLOCATOR)
            self.processes.append(process)
            for count in COUNTS:
                path = str(works[count, cutoff])
                found = process.ask("prepare", name=str(count), kind="inference", path=path)
                record = {"model": model, "mode": mode, "structures": count, "cutoff_A": cutoff, **found}
                self.records.append(record)
                print(f"time {model} {mode} {count}: {found.get('error', 'ready')}", flush=True)
                if "error" not in found:
                    self.ready.append((record, process))

    def rounds(self) -> None:
        """Ask all in random order, several times."""
        seconds: list[list[float]] = [[] for _ in self.ready]
        order = random.Random(0)
        for _ in range(self.options.rounds):
            for index in order.sample(range(len(self.ready)), len(self.ready)):
                record, process = self.ready[index]
                answer = process.ask("run", name=str(record["structures"]), seconds=SECONDS)
                seconds[index] += answer.get("seconds", [])
                record.update({key: answer[key] for key in answer if key == "error"})
        for (record, _), own in zip(self.ready, seconds, strict=True):
            record.update(spread(own))
            if "error" not in record:
                record["us_per_atom"] = 1e3 * record["median_ms"] / record["atoms"]

    def close(self) -> None:
        """End the processes."""
        for process in self.processes:
            process.close()
