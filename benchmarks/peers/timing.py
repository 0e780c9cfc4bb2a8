"""Time of energies and forces, by the processes and checks of `benchmarks.speed`, in rounds over all models."""

from __future__ import annotations

import argparse
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.peers.recipes import RECIPES
from benchmarks.speed.models import MODELS
from benchmarks.speed.process import Process
from benchmarks.speed.runs import spread
from benchmarks.speed.works import Structures, with_edges
from pyg_mpnn.training.evaluate import load_frames

COUNTS = (1, 32)  # structures in a call
SECONDS = 0.3  # of a model in a round
LEFT_OUT = ("floor", "low-memory")


def measure(
    options: argparse.Namespace, pythons: dict[str, str], data: tuple[str, str], scratch: Path
) -> list[dict[str, Any]]:
    """One record for each model, mode and number of structures; weights are random, which changes nothing.

    Each model is timed at the cutoff that it was trained with, on the first training frames.
    """
    frames = load_frames(data[0])[: max(COUNTS)]
    z = frames[0].z.numpy()
    works: dict[tuple[int, float], Path] = {}
    for cutoff in {RECIPES[model].cutoff for model in options.only}:
        for count in COUNTS:
            pos = torch.cat([frame.pos for frame in frames[:count]]).numpy()
            structures = Structures(np.tile(z, count), np.full(count, len(z)), pos)
            works[count, cutoff] = scratch / f"work-{count}-{cutoff}.npz"
            np.savez(works[count, cutoff], **with_edges(structures, cutoff))
    records, ready = [], []
    elements = sorted(set(z.tolist()))
    for model in (model for model in options.only if model in MODELS):
        described = MODELS[model]
        for mode in described.modes if described.environment in pythons else ():
            if mode in LEFT_OUT or (options.eager and mode != "eager"):
                continue
            settings = {"cutoff": RECIPES[model].cutoff, "elements": elements}
            log = scratch / f"time-{model}-{mode}.log"
            python = pythons[described.environment]
            process = Process(python, described, mode, options.threads, settings, log)
            for count in COUNTS:
                known = {"model": model, "mode": mode, "structures": count, "cutoff_A": RECIPES[model].cutoff}
                path = works[count, RECIPES[model].cutoff]
                found = process.ask("prepare", name=str(count), kind="inference", path=str(path))
                records.append(known | found)
                print(f"time {model} {mode} {count}: {found.get('error', 'ready')}", flush=True)
                if "error" not in found:
                    ready.append((records[-1], process))
    seconds: list[list[float]] = [[] for _ in ready]
    order = random.Random(0)
    for _ in range(options.rounds):
        for index in order.sample(range(len(ready)), len(ready)):
            record, process = ready[index]
            answer = process.ask("run", name=str(record["structures"]), seconds=SECONDS)
            seconds[index] += answer.get("seconds", [])
            record.update({key: answer[key] for key in answer if key == "error"})
    for (record, process), own in zip(ready, seconds, strict=True):
        record.update(spread(own))
        record["us_per_atom"] = 1e3 * record.get("median_ms", float("nan")) / record["atoms"]
        process.close()
    return records
