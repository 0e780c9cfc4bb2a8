"""How does the error on QM9 fall with the number of molecules, and does each of the 12 targets work?

Learning curves of U0 (1,000, 5,000 and 10,000 molecules) with their log-log slope, beside PyG's SchNet and SchNetPack's
PaiNN on given edges at 1,000 and 5,000, and a short training of every other target at 1,000. Each cell is one training
on the first n training molecules of the hashed split (QM9.split, seed 0), validated on at most 1,000 of its validation
molecules and tested once, on all its test molecules; those with an element that no training molecule has are left out
and counted (fluorine: 15 of the 76,699 molecules of the local folder). One JSON a cell; finished cells are skipped,
interrupted ones go on where they were (--runs). The learning rate of each model is the best of three on the validation
molecules, from short trainings at n = 1,000 (`tune`); without them it is the middle one.

    python -m benchmarks.qm9.grid tune --data DIR                     9 short trainings; DIR as pyg_mpnn.data.QM9
    python -m benchmarks.qm9.grid run --data DIR --budget-minutes 60  cells until the minutes are over
    python -m benchmarks.qm9.grid run --data DIR --only U0-ours-1000-seed0 mu-ours-1000-seed0
    python -m benchmarks.qm9.grid list                                the cells, and which are done
    python -m benchmarks.qm9.grid table                               Markdown tables from the JSON
    python -m benchmarks.qm9.grid run --smoke                         all targets in seconds, on the tests' 96 molecules
    python -m benchmarks.qm9.grid run --smoke --models painn

Every cell is trained by `cell.py`: same molecules, loss, reference energies, batches, schedule, averaged weights and
head on the atoms; a peer gives its representation. That of PaiNN needs SchNetPack: its cells run in a process of their
own, with the Python of an environment that is made from painn.txt where it is missing (network; a minute). So `--smoke`
leaves PaiNN out unless it is named.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.qm9.cell import CELLS, Cell, run_cell
from benchmarks.qm9.table import FOLDER, table
from benchmarks.speed.environments import DEFAULT, TORCH, NotInstalledError, python_of
from pyg_mpnn.data import QM9_TARGETS

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "tests" / "data" / "assets" / "qm9"
EPOCHS = {1_000: 200, 5_000: 80, 10_000: 50, 50_000: 25}
SHORT_EPOCHS = 30  # of the targets other than U0, and of the choice of the learning rate
RATES = {"ours": (1e-3, 3e-3, 1e-2), "schnet": (3e-4, 1e-3, 3e-3), "painn": (1.7e-4, 5e-4, 1.5e-3)}
"""About the default of ours and the published rates of the peers (SchNetPack 2.1.1, experiment/qm9_atomwise.yaml)."""
OF_CELL = ("data", "size", "threads", "device", "runs")  # options


def main() -> None:
    options = parse_arguments()
    torch.set_num_threads(options.threads)
    if options.part == "list":
        for cell in CELLS:
            print(f"{cell.name}{'  done' if (FOLDER / f'{cell.name}.json').exists() else ''}")
    elif options.part == "table":
        print(table())
    elif options.smoke:
        smoke(options)
    elif options.part == "tune":
        tune(options)
    else:
        run(options)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("run", "tune", "list", "table"))
    parser.add_argument("--data", help="folder of QM9")
    parser.add_argument(
        "--models", nargs="+", choices=RATES, help="only these; --smoke takes ours and schnet without it"
    )
    parser.add_argument("--only", nargs="+", help="names of the cells to run, as `list` shows them")
    parser.add_argument(
        "--budget-minutes", type=float, default=float("inf"), help="start no cell after so many minutes"
    )
    parser.add_argument("--epochs", type=int, help="in place of those of the script; the result file says so")
    parser.add_argument("--size", default="base", choices=("small", "base", "large"), help="of our model")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--runs", type=Path, default=Path("runs/qm9"), help="folder of unfinished trainings")
    parser.add_argument("--environments", type=Path, default=DEFAULT, help="folder where PaiNN's is made")
    parser.add_argument("--torch", default=TORCH, help="what pip installs first there, with its options")
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    options.models = options.models or (["ours", "schnet"] if options.smoke else list(RATES))
    unknown = set(options.only or ()) - {cell.name for cell in CELLS}
    if unknown:
        parser.error(f"--only must name cells of `list`, got {', '.join(sorted(unknown))}")
    if options.part in ("run", "tune") and not options.smoke and options.data is None:
        parser.error("--data is needed (or --smoke)")
    return options


def tune(options: argparse.Namespace) -> None:
    """Short trainings with each learning rate; the test molecules are not touched."""
    for model in options.models:
        for rate in RATES[model]:
            cell = Cell("U0", model, 1_000, 0)
            path = FOLDER / "tune" / f"{cell.name}-rate{rate:g}.json"
            if not path.exists():
                start(cell, options, path, rate, SHORT_EPOCHS, test=False)


def run(options: argparse.Namespace) -> None:
    """The cells that are not done, until the minutes are over."""
    begun = time.monotonic()
    for cell in CELLS:
        path = FOLDER / f"{cell.name}.json"
        if cell.model not in options.models or cell.name not in (options.only or [cell.name]) or path.exists():
            continue
        if time.monotonic() - begun > 60 * options.budget_minutes:
            print(f"the minutes are over: {cell.name} and what follows were not started")
            return
        full = SHORT_EPOCHS if cell.target != "U0" else EPOCHS[cell.n]
        try:
            start(cell, options, path, chosen_rate(cell.model), options.epochs or full)
        except NotInstalledError as error:
            print(f"{cell.name}: {error}")


def start(cell: Cell, options: argparse.Namespace, path: Path, rate: float, epochs: int, *, test: bool = True) -> None:
    """Train a cell: PaiNN's in a process with the Python of its environment."""
    if cell.model != "painn":
        run_cell(cell, options, path, rate, epochs, test)
        return
    packages = Path(__file__).with_name("painn.txt")
    python = python_of("qm9-painn", options.environments, options.torch, packages)
    plain = {name: getattr(options, name) for name in OF_CELL} | {"runs": str(options.runs)}
    job = {"cell": cell._asdict(), "options": plain, "path": str(path), "learning_rate": rate}
    with tempfile.TemporaryDirectory() as scratch:
        question = Path(scratch) / "job.json"
        question.write_text(json.dumps(job | {"epochs": epochs, "test": test}))
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        subprocess.run([python, "-m", "benchmarks.qm9.cell", str(question)], env=environment, check=True)


def chosen_rate(model: str) -> float:
    """The learning rate with the lowest validation error at 1,000 molecules, or the middle one."""
    found = [json.loads(path.read_text()) for path in sorted((FOLDER / "tune").glob(f"U0-{model}-*.json"))]
    if len(found) < len(RATES[model]):
        return RATES[model][1]
    return float(min(found, key=lambda record: record["validation_mae"])["learning_rate"])


def smoke(options: argparse.Namespace) -> None:
    """Every target and the models on the sample: do they run, and is the result file whole?"""
    options.data, options.size = str(SAMPLE), "small"
    targets = {"ours": tuple(QM9_TARGETS)}
    cells = [Cell(target, model, 64, 0) for model in options.models for target in targets.get(model, ("U0",))]
    with tempfile.TemporaryDirectory() as scratch:
        options.runs = Path(scratch) / "runs"
        for cell in cells:
            path = Path(scratch) / f"{cell.name}.json"
            start(cell, options, path, RATES[cell.model][1], epochs=2)
            assert np.isfinite(json.loads(path.read_text())["test_mae"])
        print(table(Path(scratch)))


if __name__ == "__main__":
    main()
