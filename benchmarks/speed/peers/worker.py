"""A process that holds one model in one mode, started by `benchmarks.speed.process` with the model's own environment.

Reads requests as JSON lines from stdin, `{"do": METHOD, ...}`, and answers each with one line; an exception is the
answer `{"error": "..."}`. What libraries print goes to stderr.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import re
import resource
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import distributions
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.speed.floor import MatrixProducts
from benchmarks.speed.memory import give_back, memory, reset_peak
from benchmarks.speed.peers.checks import MAX_ATOMS, check_inference, check_training
from benchmarks.speed.peers.dynamics import STEPS, Dynamics
from benchmarks.speed.peers.work import Work, load

SEED = 0
LEARNING_RATE = 1e-4


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--module", required=True)
    parser.add_argument("--mode", required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--gigabytes", type=int, required=True)
    parser.add_argument("--settings", type=json.loads, required=True)
    options = parser.parse_args()
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    limit = options.gigabytes * 10**9
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))  # an error here, before the machine runs out of memory
    torch.set_num_threads(options.threads)
    worker = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if worker is None:
                worker = Worker(options.module, options.mode, options.settings)
            answer = getattr(worker, request.pop("do"))(**request)
        except Exception as error:
            first = next((line for line in plain(str(error)).splitlines() if line.strip()), "")
            answer = {"error": f"{type(error).__name__}: {first[:300]}"}
        print(json.dumps(answer), file=replies, flush=True)


def plain(text: str) -> str:
    """Text without the colours of a terminal."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


class Worker:
    """The model and what was prepared with it, by the name of the work."""

    def __init__(self, module: str, mode: str, settings: dict[str, Any]) -> None:
        self.adapter = importlib.import_module(f"benchmarks.speed.peers.{module}").Peer(**settings)
        self.mode = mode
        self.models: dict[tuple[str, bool], tuple[nn.Module, dict[str, Tensor]]] = {}
        self.calls: dict[str, tuple[Callable[[], Any], int]] = {}  # and how many steps a call is
        self.base = 0

    def versions(self) -> dict[str, str]:
        """Python and every package of the environment."""
        packages = {found.metadata["Name"].lower(): found.version for found in distributions()}
        return {"python": platform.python_version()} | dict(sorted(packages.items()))

    def prepare(self, name: str, kind: str, path: str) -> dict[str, Any]:
        """Build, check and warm up; the sizes of what will be timed."""
        work = load(path)
        call = getattr(self, f"_{kind}")(work)
        sizes = {"atoms": len(work.z), "edges": work.edge_index.shape[1], "graphs": work.num_graphs}
        if self.mode == "floor":
            call = MatrixProducts(call)
            sizes["matmul_gflop"] = call.flops / 1e9
        for _ in range(2):
            call()
        self.calls[name] = call, STEPS if kind == "dynamics" else 1
        model = next(iter(self.models.values()), None)
        parameters = sum(value.numel() for value in model[0].parameters()) if model else None
        return sizes | {"parameters": parameters, "checked": len(work.z) <= MAX_ATOMS}

    def run(self, name: str, seconds: float, cpu_time: bool = False) -> dict[str, list[float]]:
        """Seconds of each of several calls, at least one, that take about so many seconds together."""
        call, steps = self.calls[name]
        clock = time.process_time if cpu_time else time.perf_counter
        times: list[float] = []
        start = clock()
        call()
        once = clock() - start
        if once > seconds:  # warming up again, after other processes had the cache, would not change it
            times.append(once)
        while sum(times) < seconds and len(times) < 200:
            start = clock()
            call()
            times.append(clock() - start)
        return {"seconds": [value / steps for value in times], "median": statistics.median(times)}

    def baseline(self) -> dict[str, int]:
        """Start the measurement of memory: what is in use now does not count."""
        give_back()
        self.base = memory("VmRSS")
        return {"bytes": self.base}

    def peak(self, name: str) -> dict[str, int]:
        """Largest resident memory in a call, above the baseline and in all."""
        give_back()
        reset_peak()
        self.calls[name][0]()
        peak = memory("VmHWM")
        return {"above_baseline": peak - self.base, "in_all": peak}

    def drop(self, name: str) -> dict[str, str]:
        """Forget a work."""
        self.calls.pop(name, None)
        give_back()
        return {}

    def _model(self, mode: str, train: bool) -> nn.Module:
        """The model with the weights of the seed, built once."""
        if (mode, train) not in self.models:
            torch.manual_seed(SEED)
            model = self.adapter.build(mode, train)
            self.models[mode, train] = model, {name: value.clone() for name, value in model.state_dict().items()}
        model, weights = self.models[mode, train]
        with torch.no_grad():
            for name, value in model.state_dict().items():
                value.copy_(weights[name])
        return model

    @property
    def _real_mode(self) -> str:
        return "eager" if self.mode == "floor" else self.mode

    def _inference(self, work: Work) -> Callable[[], Any]:
        def evaluate(mode: str, changed: Work) -> tuple[Tensor, Tensor]:
            return self.adapter.evaluator(self._model(mode, train=False), mode, changed)()

        mode = self._real_mode
        if len(work.z) <= MAX_ATOMS:
            eager = None if mode == "eager" else lambda changed: evaluate("eager", changed)
            check_inference(lambda changed: evaluate(mode, changed), work, eager)
            if mode != "eager":
                self.models.pop(("eager", False))
        return self.adapter.evaluator(self._model(mode, train=False), mode, work)

    def _training(self, work: Work) -> Callable[[], Any]:
        def first(mode: str) -> tuple[Callable[[], Any], float, float]:
            model = self._model(mode, train=True)
            step = training_step(model, self.adapter.evaluator(model, mode, work), work)
            loss = float(step())
            gradients = [value.grad.square().sum() for value in model.parameters() if value.grad is not None]
            return step, loss, float(torch.stack(gradients).sum().sqrt())

        eager = first("eager")
        if self._real_mode == "eager":
            assert abs(eager[1]) < float("inf"), f"the loss is {eager[1]}"
            return eager[0]
        self.models.pop(("eager", True))
        step, loss, gradient = first(self.mode)
        check_training(loss, gradient, eager[1:])
        return step

    def _dynamics(self, work: Work) -> Callable[[], Any]:
        if self.mode == "floor":
            raise NotImplementedError("the floor of a step is that of its energies and forces")
        torch.manual_seed(SEED)
        return Dynamics(self.adapter.calculator(self.mode), work)

    def _neighbors(self, work: Work) -> Callable[[], Any]:
        if self.mode != "eager":
            raise NotImplementedError("a neighbour list has one mode")
        return self.adapter.neighbors(work)


def training_step(model: nn.Module, evaluate: Callable[[], tuple[Tensor, Tensor]], work: Work) -> Callable[[], Tensor]:
    """Loss of energies and forces, its gradient, and a step of Adam, always on the same batch."""
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, fused=True)
    mse = nn.functional.mse_loss

    def step() -> Tensor:
        optimizer.zero_grad()
        energy, forces = evaluate()
        loss = mse(energy.float(), work.energy) + mse(forces.float(), work.forces)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


if __name__ == "__main__":
    main()
