"""The training loop of the peers: one for any module, with torch alone, in the peer's own environment."""

from __future__ import annotations

import importlib.util
import math
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.peers.frames import Frames, errors
from benchmarks.speed.peers.adapter import Adapter
from benchmarks.speed.peers.work import Work

WARMUP = 0.02  # of the budget
ENERGY_WEIGHTS = (0.1, 10.0)
EVALUATION_BATCH = 32
WARM_UP_STEPS = 3  # before the clock starts, with no step of the optimizer: TorchScript and compilers need them


def _of_package(name: str) -> Any:
    """A file of `pyg_mpnn.training` that needs nothing but torch: the package itself is not installed here."""
    path = Path(__file__).parents[2] / "pyg_mpnn" / "training" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"pyg_mpnn_training_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


schedule = _of_package("schedule")


class Training:
    """A model in training for so many minutes.

    Args:
        adapter: builds and calls the model.
        frames: what to train on.
        recipe: the fields of `recipes.Recipe`.
        learning_rate: highest learning rate.
        seed: of the weights and of the order of the frames.
    """

    def __init__(
        self, adapter: Adapter, frames: Frames, recipe: dict[str, Any], learning_rate: float, seed: int
    ) -> None:
        self.adapter, self.frames, self.recipe, self.learning_rate = adapter, frames, recipe, learning_rate
        torch.manual_seed(seed)
        self.model: nn.Module = adapter.build(recipe["mode"], train=True)
        self.parameters = [value for value in self.model.parameters() if value.requires_grad]
        self.optimizer = torch.optim.Adam(self.parameters, lr=learning_rate, amsgrad=recipe["amsgrad"], fused=True)
        self.averaged = [value.detach().clone() for value in self.parameters]
        self.update_average = schedule.moving_average(recipe["ema_decay"], lambda: self.steps)
        self.order = torch.Generator().manual_seed(seed)
        self.steps = 0
        self.best: tuple[float, list[Tensor]] = (math.inf, [])
        self.curve: list[dict[str, float]] = []

    def run(self, minutes: float) -> dict[str, Any]:
        """Train; what is learned is kept in `best`, what happened is returned."""
        size, indices = self.recipe["batch_size"], self.frames.parts["train"]
        held_out = self.frames.batches("valid", EVALUATION_BATCH)
        self._warm_up(self.frames.batch(indices[:size]), held_out[0])
        start, start_cpu = time.monotonic(), time.process_time()
        times: list[float] = []
        while (progress := (time.monotonic() - start) / (60 * minutes)) < 1:
            shuffled = [indices[place] for place in torch.randperm(len(indices), generator=self.order).tolist()]
            for first in range(0, len(shuffled), size):
                begin = time.monotonic()
                progress = (begin - start) / (60 * minutes)
                if progress >= 1:
                    break
                self._step(self.frames.batch(shuffled[first : first + size]), progress)
                times.append(time.monotonic() - begin)
            found = self._validate(held_out)
            self.curve.append({"minutes": (time.monotonic() - start) / 60, "step": self.steps, **found})
        seconds = time.monotonic() - start
        return {
            "minutes_done": seconds / 60,
            "steps": self.steps,
            "epochs": self.steps * size / len(indices),
            "mean_ms_per_step": 1e3 * seconds / self.steps,
            "mean_cpu_ms_per_step": 1e3 * (time.process_time() - start_cpu) / self.steps,
            "median_ms_per_step_alone": 1e3 * statistics.median(times),
            "frames_per_second": self.steps * size / seconds,
            "parameters": sum(value.numel() for value in self.parameters),
            "learning_curve": thinned(self.curve),
            "valid": min(self.curve, key=score),
        }

    def test(self) -> dict[str, float]:
        """Errors of the best weights on the test frames."""
        with torch.no_grad():
            for value, best in zip(self.parameters, self.best[1], strict=True):
                value.copy_(best)
        works = self.frames.batches("test", EVALUATION_BATCH)
        return errors([self._evaluate(work) for work in works], self.frames, works)

    def _warm_up(self, work: Work, held_out: Work) -> None:
        for _ in range(WARM_UP_STEPS):
            self._loss(work, ENERGY_WEIGHTS[0]).backward()
            self._evaluate(held_out)
        self.optimizer.zero_grad()

    def _loss(self, work: Work, energy_weight: float) -> Tensor:
        energy, forces = self.adapter.evaluator(self.model, self.recipe["mode"], work)()
        num_atoms = len(self.frames.z)
        energy_error = (energy.double() - work.energy).float() / num_atoms
        return (forces.float() - work.forces).square().mean() + energy_weight * energy_error.square().mean()

    def _step(self, work: Work, progress: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate * schedule.learning_rate_factor(progress, WARMUP)
        self.optimizer.zero_grad()
        loss = self._loss(work, schedule.weight_at(progress, *ENERGY_WEIGHTS))
        loss.backward()
        if self.recipe["clip"] is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.recipe["clip"])
        self.optimizer.step()
        self.steps += 1
        with torch.no_grad():
            self.update_average(self.averaged, [value.detach() for value in self.parameters], None)

    def _evaluate(self, work: Work) -> tuple[Tensor, Tensor]:
        self.model.eval()
        energy, forces = self.adapter.evaluator(self.model, "eager", work)()
        self.model.train()
        return energy.detach(), forces.detach()

    def _validate(self, works: list[Work]) -> dict[str, float]:
        """Errors of the averaged weights, which are kept if they are the best so far."""
        current = [value.detach().clone() for value in self.parameters]
        with torch.no_grad():
            for value, average in zip(self.parameters, self.averaged, strict=True):
                value.copy_(average)
        found = errors([self._evaluate(work) for work in works], self.frames, works)
        if not math.isfinite(score(found)):
            raise FloatingPointError(f"the validation errors are {found} after {self.steps} steps")
        if score(found) < self.best[0]:
            self.best = score(found), [value.detach().clone() for value in self.parameters]
        with torch.no_grad():
            for value, own in zip(self.parameters, current, strict=True):
                value.copy_(own)
        return found


def score(found: dict[str, float]) -> float:
    """By what the best weights and learning rates are chosen, as in `pyg_mpnn.training.module.score`."""
    return found["forces_mae_meV_per_A"] + found["energy_mae_meV_per_atom"]


def thinned(curve: list[dict[str, float]], most: int = 150) -> list[dict[str, float]]:
    """Not more points than these, the last one among them."""
    stride = -(-len(curve) // most)
    return curve[::-1][::stride][::-1]
