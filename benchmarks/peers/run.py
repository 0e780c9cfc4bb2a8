"""How small do the errors get in equal minutes, with ours and with the peers, and at what cost per structure?

    python benchmarks/peers/run.py --molecule aspirin --data DIR --minutes 10 --tune-minutes 1 --seeds 0 1 2
    python benchmarks/peers/run.py ... --only ours schnet --budget-minutes 120      what fits, the rest another time
    python benchmarks/peers/run.py --only ours-small ours-small-in-the-loop --minutes 2.9 \\
        --parts tune train --out benchmarks/results/peers/control       does the peers' loop hold them back?
    python benchmarks/peers/run.py --smoke                  ours and SchNet, seconds on shipped ethanol, nothing kept

Each cell is a process of its own with the Python of the model's environment (`benchmarks/speed/environments.py`), and
one JSON in benchmarks/results/peers; cells that exist are not run again, so an interrupted grid goes on. In this order:

1. tune: three learning rates for each model, for `--tune-minutes`, seed 0, on the training and validation frames;
2. train: each seed in turn, within it each model, with the rate that had the best validation score; the test frames
   are used once a cell, after the budget. A rate can do well for minutes and diverge later: where the validation
   forces at the end are worse than twice the best, the cell is kept as `diverged` and the next lower rate takes its
   place, for every model alike;
3. time: energies and forces of one structure and of 32, in rounds over all models and modes, in random order.

What is equal and what each model has of its own: `recipes.py`. Compiling and warming up are outside the clock,
validation inside. With several seeds, split, weights and order differ. The tables: `python -m benchmarks.tables`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.peers.loop import score
from benchmarks.peers.recipes import CONTROL, LOSS, RECIPES
from benchmarks.peers.timing import measure
from benchmarks.peers.write_frames import files, write_frames
from benchmarks.record import RESULTS, provenance, write
from benchmarks.speed.environments import ALLOCATOR, DEFAULT, TORCH, NotInstalledError, python_of
from benchmarks.speed.models import MODELS, Model

ROOT = Path(__file__).resolve().parents[2]
FOLDER = RESULTS / "peers"
SPLIT = "rMD17 split 01: 950 training and 50 validation frames drawn from the training file, tested on the test file"


class BudgetSpentError(Exception):
    """The next cell would take the grid beyond `--budget-minutes`."""


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory() as scratch:
        if options.smoke:
            options.out = Path(scratch) / "results"
        grid = Grid(options, Path(scratch))
        try:
            grid.tune()
            grid.train()
            grid.time()
        except BudgetSpentError as spent:
            print(f"{spent}; the same command goes on")
        if options.smoke and grid.failures:
            sys.exit(f"failed: {grid.failures}")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--molecule", default="ethanol")
    parser.add_argument("--data", help="folder with rmd17_MOLECULE_{train,test}_01.npz; the shipped ethanol without it")
    parser.add_argument("--minutes", type=float, help="of training, in a cell; 10 if not given")
    parser.add_argument("--tune-minutes", type=float, help="of training, for each learning rate; 1 if not given")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--only", nargs="+", choices=RECIPES, default=list(RECIPES)[:-1], metavar="MODEL")
    parser.add_argument("--parts", nargs="+", choices=("tune", "train", "time"), default=["tune", "train", "time"])
    parser.add_argument("--budget-minutes", type=float, help="start no cell that would end after so many minutes")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--count", type=int, help="only so many test frames; for trying things out")
    parser.add_argument("--rounds", type=int, default=10, help="of timing")
    parser.add_argument("--environments", type=Path, default=DEFAULT, help="folder where the peers are installed")
    parser.add_argument("--torch", default=TORCH, help="what pip installs first there, with its options")
    parser.add_argument("--out", type=Path, default=FOLDER)
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    if options.molecule != "ethanol" and options.data is None:
        parser.error(f"--data is needed for {options.molecule!r}: only ethanol is shipped")
    options.eager = False
    options.minutes = options.minutes or (0.1 if options.smoke else 10.0)
    options.tune_minutes = options.tune_minutes or (0.1 if options.smoke else 1.0)
    if options.smoke:
        options.only = ["ours-small", "schnet"] if options.only == list(RECIPES)[:-1] else options.only
        options.count, options.rounds, options.eager = options.count or 40, 2, True
    return options


class Grid:
    """The cells, one method for each kind.

    Args:
        options: the command line.
        scratch: for frames and what the processes print.
    """

    def __init__(self, options: argparse.Namespace, scratch: Path) -> None:
        self.options, self.scratch = options, scratch
        self.started = time.monotonic()
        self.failures: list[str] = []
        self.written: dict[tuple[int, float], tuple[Path, str]] = {}
        self.data = files(options.molecule, options.data)
        self.pythons = self.pythons_of(options.only)

    def pythons_of(self, models: list[str]) -> dict[str, str]:
        """Python of each environment that these models need and that can be made."""
        pythons = {}
        for environment in {described(model).environment for model in models}:
            try:
                pythons[environment] = python_of(environment, self.options.environments, self.options.torch)
            except NotInstalledError as error:
                print(f"{environment}: {error}")
        return pythons

    def tune(self) -> None:
        """Learning rates, on the validation frames."""
        if "tune" in self.options.parts:
            for model in self.options.only:
                for rate in RECIPES[model].learning_rates[: 1 if self.options.smoke else None]:
                    self._cell(self.path(model, f"rate{rate:g}"), model, rate, 0, self.options.tune_minutes, test=False)

    def train(self) -> None:
        """The trainings that are tested."""
        if "train" in self.options.parts:
            for seed in self.options.seeds:
                for model in self.options.only:
                    rate = self.chosen_rate(model)
                    if rate is None:
                        print(f"{model} is left out: three learning rates must be tried first (cells 'rate')")
                        continue
                    for lower in (rate, *(slow for slow in RECIPES[model].learning_rates[::-1] if slow < rate)):
                        aside = self.path(model, f"diverged-seed{seed}-at{lower:g}")
                        if aside.exists():
                            continue
                        path = self.path(model, f"seed{seed}")
                        self._cell(path, model, lower, seed, self.options.minutes, test=True)
                        if not path.exists() or not diverged(json.loads(path.read_text())):
                            break
                        path.rename(aside)
                        print(f"{path.stem} diverged with the learning rate {lower:g}", flush=True)

    def time(self) -> None:
        """Energies and forces, all models in the same rounds."""
        if "time" not in self.options.parts:
            return
        path = self.options.out / f"{self.options.molecule}-times.json"
        before = json.loads(path.read_text())["records"] if path.exists() else []
        timed = {record["model"] for record in before if "error" not in record}
        models = [model for model in MODELS if model in RECIPES and self._has_cell(model)]
        if set(models) <= timed:
            return
        self._check_budget(0.0)  # those of an earlier run once more: only times of one run are comparable
        records = measure(self.options, models, self.pythons_of(models), self.data, self.scratch)
        write(path, self._about() | {"rounds": self.options.rounds, "records": records})

    def _has_cell(self, model: str) -> bool:
        return any(self.options.out.glob(f"{self.options.molecule}-{model}-seed*.json"))

    def path(self, model: str, cell: str) -> Path:
        """File of a cell."""
        return Path(self.options.out) / f"{self.options.molecule}-{model}-{cell}.json"

    def chosen_rate(self, model: str) -> float | None:
        """The learning rate with the best validation score; None where all failed or some have not been run."""
        paths = [self.path(model, f"rate{rate:g}") for rate in RECIPES[model].learning_rates]
        found = [json.loads(path.read_text()) for path in paths if path.exists()]
        if len(found) < len(paths) and not self.options.smoke:
            return None
        tried = [record for record in found if "error" not in record]
        return min(tried, key=lambda record: score(record["valid"]))["learning_rate"] if tried else None

    def _about(self) -> dict[str, Any]:
        units = "energies in meV, forces in meV/A, as the names say; times in the unit of the name"
        about = {"molecule": self.options.molecule, "data": [Path(file).name for file in self.data], "split": SPLIT}
        return provenance() | about | {"threads": self.options.threads, "units": units, "allocator": ALLOCATOR}

    def _check_budget(self, minutes: float) -> None:
        spent = (time.monotonic() - self.started) / 60
        if self.options.budget_minutes is not None and spent + minutes > self.options.budget_minutes:
            raise BudgetSpentError(f"{spent:.0f} of {self.options.budget_minutes:g} minutes are spent")

    def _frames(self, seed: int, cutoff: float) -> tuple[Path, str]:
        if (seed, cutoff) not in self.written:
            path = self.scratch / f"frames-{seed}-{cutoff}.npz"
            split = write_frames(path, self.data, seed, cutoff, self.options.count)
            self.written[seed, cutoff] = path, split
        return self.written[seed, cutoff]

    def _cell(self, path: Path, model: str, rate: float, seed: int, minutes: float, *, test: bool) -> None:
        """Run a cell unless it exists, and write what came of it."""
        if path.exists():
            before = json.loads(path.read_text())
            if (before["minutes"], before["threads"]) != (minutes, self.options.threads):
                sys.exit(
                    f"{path} has {before['minutes']:g} minutes, {before['threads']} thread(s): choose another --out"
                )
            return
        self._check_budget(minutes)
        recipe, settings = RECIPES[model], described(model)
        if settings.environment not in self.pythons:
            self.failures.append(path.stem)
            return
        frames, split = self._frames(seed, recipe.cutoff)
        job = {
            "module": settings.module,
            "settings": settings.settings,
            "recipe": asdict(recipe) | {"mode": self._mode(recipe.mode)},
            "learning_rate": rate,
            "seed": seed,
            "minutes": minutes,
            "test": test,
            "threads": self.options.threads,
            "frames": str(frames),
            "data": self.data,
            "count": self.options.count,
        }
        answer = self._run(
            "ours" if settings.ours and model != CONTROL else "worker", self.pythons[settings.environment], job
        )
        if answer.get("split_sha256", split) != split:
            answer = {"error": "the split is not that of the peers"}
        record = self._about() | {
            "model": model,
            "description": settings.description,
            "recipe": job["recipe"],
            "loss": LOSS,
            "learning_rate": rate,
            "seed": seed,
            "minutes": minutes,
            "test_frames": self.options.count or "all",
            **answer,
            "split_sha256": split,
        }
        write(path, record)
        if "error" in record:
            self.failures.append(path.stem)
            print(f"{path.stem}: {record['error']}", flush=True)
        else:
            found, kind = (record["test"], "test") if test else (record["valid"], "validation")
            print(
                f"{path.stem}: {kind} force MAE {found['forces_mae_meV_per_A']:.1f} meV/A, energy MAE "
                f"{found['energy_mae_meV']:.1f} meV after {record['steps']} steps of {record['mean_ms_per_step']:.1f} "
                f"ms, {record['seconds_outside_the_clock']:.0f} s outside the clock, "
                f"{record['cpu_seconds_per_second']:.0%} of a processor",
                flush=True,
            )

    def _mode(self, mode: str) -> str:
        """Ours is compiled where it would be by default in trainings of `--minutes`; tuned in the same mode."""
        if mode == "auto":
            return "on" if self.options.threads == 1 and self.options.minutes >= 3 else "off"
        return "eager" if self.options.eager else mode

    def _run(self, module: str, python: str, job: dict[str, Any]) -> dict[str, Any]:
        question, answer, log = (self.scratch / name for name in ("job.json", "answer.json", "log.txt"))
        question.write_text(json.dumps(job))
        answer.unlink(missing_ok=True)
        environment = os.environ | {"OMP_NUM_THREADS": str(job["threads"]), "TORCHINDUCTOR_COMPILE_THREADS": "1"}
        environment |= ALLOCATOR | {"PYTHONPATH": str(ROOT)}
        command = [python, "-m", f"benchmarks.peers.{module}", str(question), str(answer)]
        begun, used = time.monotonic(), cpu_seconds()
        with log.open("w") as output:
            subprocess.run(command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, check=False)
        if not answer.exists():
            lines = [line for line in log.read_text().splitlines() if line.strip()]
            return {"error": lines[-1][:300] if lines else "the process ended without a word"}
        found: dict[str, Any] = json.loads(answer.read_text())
        wall = time.monotonic() - begun
        found["seconds_outside_the_clock"] = wall - 60 * found["minutes_done"]
        found["cpu_seconds_per_second"] = (cpu_seconds() - used) / wall
        return found


def described(model: str) -> Model:
    """How a model is built."""
    return MODELS["ours-small" if model == CONTROL else model]


def diverged(record: dict[str, Any]) -> bool:
    """Whether the training ended far above its best, by the validation forces."""
    curve = [point["forces_mae_meV_per_A"] for point in record.get("learning_curve", [])]
    return bool(curve) and curve[-1] > 2 * min(curve)


def cpu_seconds() -> float:
    """What all processes that have ended used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
