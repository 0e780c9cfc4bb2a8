"""From GFN2-xTB to DFT: is training that starts from ``organic`` better than from random weights? rMD17, few frames.

One cell a molecule, number of training frames and start; one JSON each in benchmarks/results/learn/organic/. Cells that
exist are not run again, an interrupted training goes on where it was.

    python -m benchmarks.learn.organic_finetune --data DIR --minutes 5          all cells
    python -m benchmarks.learn.organic_finetune --data DIR --look 0.01 0.003    learning rates, by validation frames
    python -m benchmarks.learn.organic_finetune table                           Markdown table of all result files
    python -m benchmarks.learn.organic_finetune --smoke                         a few seconds on the shipped ethanol

Training frames are the first N of rMD17's training file of split 01, validation frames its last 50, test frames the
1000 of its test file. Each start has the learning rate with the lowest validation error of a look, or its default. The
committed results: --look 0.01 0.003 --molecules ethanol --frames 50 --minutes 1; --frames 50 --minutes 1.5;
--molecules aspirin --frames 950 --minutes 2.5.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.record import RESULTS, provenance, write
from pyg_mpnn.data import ethanol, read_structures
from pyg_mpnn.training import TrainingSettings, train

FOLDER = RESULTS / "learn" / "organic"
STARTS = ("organic", "random")
RATES = {"random": 0.01, "organic": 0.003}  # without a look


class Cell(NamedTuple):
    """One training."""

    molecule: str
    frames: int
    start: str

    @property
    def name(self) -> str:
        """As in the name of its file."""
        return f"{self.molecule}-{self.frames}-{self.start}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=("table",))
    parser.add_argument("--data", type=Path, help="folder with rmd17_MOLECULE_{train,test}_01.npz")
    parser.add_argument("--molecules", nargs="+", default=["ethanol", "aspirin"])
    parser.add_argument("--frames", nargs="+", type=int, default=[50, 950])
    parser.add_argument("--starts", nargs="+", choices=STARTS, default=STARTS)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--look", nargs="+", type=float, metavar="RATE", help="compare learning rates from organic")
    parser.add_argument("--runs", type=Path, default=Path("runs/organic-finetune"))
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    if options.part == "table":
        print(table())
    elif options.smoke:
        with tempfile.TemporaryDirectory() as scratch:
            options.data, options.runs, options.minutes = None, Path(scratch), 0.02
            run(Cell("ethanol", 10, "organic"), RATES["organic"], options, Path(scratch) / "cell.json")
    else:
        cells = [
            Cell(molecule, frames, start)
            for frames, molecule, start in product(options.frames, options.molecules, options.starts)
        ]
        looks = [(cell, rate, f"look-{cell.name}-{rate:g}") for cell in cells for rate in options.look or ()]
        for cell, rate, name in looks or [(cell, rate_of(cell.start), cell.name) for cell in cells]:
            if not (FOLDER / f"{name}.json").exists():
                run(cell, rate, options, FOLDER / f"{name}.json", test=options.look is None)


def rate_of(start: str, folder: Path = FOLDER) -> float:
    """The learning rate of a start: of organic the best one of a look."""
    looks = [json.loads(path.read_text()) for path in folder.glob(f"look-*-{start}-*.json")]
    if not looks:
        return RATES[start]
    best = min(looks, key=lambda one: one["validation"]["forces_mae_meV_per_A"])
    return float(best["learning_rate"])


def run(cell: Cell, rate: float, options: argparse.Namespace, path: Path, test: bool = True) -> None:
    """Train, or go on, and write the result file."""
    out = options.runs / path.stem
    if options.data is None:
        every, tested = ethanol("train"), ethanol("test")[:10]
    else:
        every, tested = (
            read_structures(options.data / f"rmd17_{cell.molecule}_{split}_01.npz") for split in ("train", "test")
        )
    chosen: dict[str, Any] = {"start_from": cell.start} if cell.start != "random" else {"size": "base"}
    settings = TrainingSettings(
        data=f"rmd17_{cell.molecule}_train_01.npz",
        out=str(out),
        minutes=options.minutes,
        learning_rate=rate,
        threads=1,
        device="cpu",
        compile="off" if options.smoke else "on",
        resume=(out / "last.ckpt").exists(),
        **chosen,
    )
    result = train(settings, frames=every[: cell.frames], valid=every[-50:], test=tested if test else None)
    with (out / "metrics.csv").open() as file:
        history = list(csv.DictReader(file))
    best = min(history, key=lambda row: float(row["valid_score"]))
    record = {
        **cell._asdict(),
        "frames are": "the first of the training file of rMD17, split 01; 50 validation frames are its last",
        "minutes": options.minutes,
        "learning_rate": rate,
        "seed": settings.seed,
        "epochs": int(history[-1]["epoch"]),
        "best_epoch": int(best["epoch"]),
        "validation": {name: float(best[f"valid_{name}"]) for name in ("forces_mae_meV_per_A", "energy_mae_meV")},
        "test": asdict(result.errors) if test else None,
    }
    write(path, provenance() | record)


def table(folder: Path = FOLDER) -> str:
    """Markdown table of the cells."""
    found = {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}
    lines = ["| molecule | training frames | from random weights | from organic |", "|---|---|---|---|"]
    cells = {(one["molecule"], one["frames"]) for one in found.values() if one["test"] is not None}
    for molecule, frames in sorted(cells):
        row = [found.get(f"{molecule}-{frames}-{start}") for start in ("random", "organic")]
        errors = ["-" if one is None else _errors(one["test"]) for one in row]
        lines.append(f"| {molecule} | {frames} | {' | '.join(errors)} |")
    return "\n".join(lines)


def _errors(test: dict[str, Any]) -> str:
    return f"{test['forces_mae_meV_per_A']:.1f} meV/Å, {test['energy_mae_meV']:.1f} meV"


if __name__ == "__main__":
    main()
