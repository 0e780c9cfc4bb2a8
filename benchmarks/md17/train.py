"""How small do the errors on rMD17 get? Official split 01: 950 + 50 frames to train, 1000 to test.

A grid of molecules and seeds, one JSON a cell, benchmarks/results/md17/MOLECULE-SIZE-seedS.json. Cells that exist are
not run again, an interrupted training goes on where it was (--runs keeps them, with checkpoint and pictures). In the
table, means with standard deviations over the seeds, beside published force MAE of other potentials by this protocol.

    python -m benchmarks.md17.train --molecules aspirin --data DIR --minutes 60 --seeds 0 1 2 --compile
    python -m benchmarks.md17.train ... --only aspirin-base-seed1 --budget-minutes 60
    python -m benchmarks.md17.train table                         Markdown table of all result files
    python -m benchmarks.md17.train --smoke                       six seconds on the shipped ethanol

DIR holds rmd17_MOLECULE_train_01.npz and rmd17_MOLECULE_test_01.npz.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.record import RESULTS, provenance, write
from pyg_mpnn.training import TrainingSettings, train

FOLDER = RESULTS / "md17"
MOLECULES = ("aspirin", "benzene", "ethanol", "malonaldehyde", "naphthalene", "toluene", "uracil")
_METHODS = ("MACE", "Allegro", "NequIP", "PaiNN", "ACE", "FCHL", "ANI")
_ROWS: dict[str, tuple[float | None, ...]] = {
    "aspirin": (6.6, 7.3, 8.2, 16.1, 17.9, 20.9, 40.6),
    "benzene": (0.3, 0.2, 0.3, None, 0.5, 2.6, 10.0),
    "ethanol": (2.1, 2.1, 2.8, 10.0, 7.3, 6.2, 13.4),
    "malonaldehyde": (4.1, 3.6, 5.1, 13.8, 11.1, 10.3, 24.5),
    "naphthalene": (1.6, 0.9, 1.3, 3.6, 5.1, 6.5, 29.2),
    "toluene": (1.5, 1.8, 1.6, 4.4, 6.5, 8.8, 24.3),
    "uracil": (2.1, 1.8, 3.1, 6.1, 6.6, 4.2, 21.4),
}
PUBLISHED = {
    molecule: {name: value for name, value in zip(_METHODS, row, strict=True) if value is not None}
    for molecule, row in _ROWS.items()
}
"""Force MAE in meV/A: table 1 of Batatia et al., NeurIPS 2022, arXiv:2206.07697 (rMD17, 950 + 50 training frames)."""


class Cell(NamedTuple):
    """One training."""

    molecule: str
    size: str
    seed: int

    @property
    def name(self) -> str:
        """As in the name of its file."""
        return f"{self.molecule}-{self.size}-seed{self.seed}"


def main() -> None:
    options = parse_arguments()
    if options.part == "table":
        print(table())
    elif options.smoke:
        options.size, options.minutes = "small", 0.1
        with tempfile.TemporaryDirectory() as scratch:
            options.runs = Path(scratch) / "runs"
            run(Cell("ethanol", "small", 0), options, Path(scratch) / "cell.json")
    else:
        grid(options)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=("train", "table"), default="train")
    parser.add_argument("--molecules", nargs="+", choices=MOLECULES, default=["ethanol"], metavar="MOLECULE")
    parser.add_argument("--data", help="folder with the npz files; without it the shipped ethanol")
    parser.add_argument("--size", default="base", choices=("small", "base", "large"))
    parser.add_argument("--minutes", type=float, default=60.0, help="of training, in a cell")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", metavar="CELL", help="cells to run, as MOLECULE-SIZE-seedS")
    parser.add_argument("--budget-minutes", type=float, default=float("inf"), help="start no cell that would end later")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--runs", type=Path, default=Path("runs/md17"), help="folder of the trainings")
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    if options.data is None and options.molecules != ["ethanol"]:
        parser.error(f"--data is needed for {', '.join(options.molecules)}")
    return options


def grid(options: argparse.Namespace) -> None:
    """The cells that are not done, seeds outermost, until the minutes are over."""
    begun = time.monotonic()
    for cell in (Cell(molecule, options.size, seed) for seed in options.seeds for molecule in options.molecules):
        path = FOLDER / f"{cell.name}.json"
        if options.only is not None and cell.name not in options.only:
            continue
        if path.exists():
            done = json.loads(path.read_text())
            if (done["minutes"], done["compiled"]) != (options.minutes, options.compile):
                raise SystemExit(
                    f"{path} has {done['minutes']:g} minutes{', compiled' if done['compiled'] else ''}: give the same "
                    "for other seeds, or remove it"
                )
            continue
        if time.monotonic() - begun + 60 * options.minutes > 60 * options.budget_minutes:
            print(f"the minutes are over: {cell.name} and what follows were not started")
            return
        run(cell, options, path)


def run(cell: Cell, options: argparse.Namespace, path: Path) -> None:
    """Train, or go on, test and write the result file."""
    settings = settings_of(cell, options, options.runs / cell.name)
    result = train(settings)
    write(path, record_of(cell, options, settings, result))


def record_of(cell: Cell, options: argparse.Namespace, settings: TrainingSettings, result: Any) -> dict[str, Any]:
    """What the result file holds."""
    return provenance() | {
        **cell._asdict(),
        "data": [Path(str(file)).name for file in (settings.data, settings.test)],
        "split": "rMD17 split 01: 950 training and 50 validation frames drawn from the training file, 1000 test frames",
        "minutes": options.minutes,
        "compiled": options.compile,
        "parameters": sum(parameter.numel() for parameter in result.potential.parameters()),
        "config": result.potential.config,
        "card": json.loads((result.out / "model_card.json").read_text()),
        "test": asdict(result.errors),
        "trivial predictor": asdict(result.trivial),
    }


def settings_of(cell: Cell, options: argparse.Namespace, out: Path) -> TrainingSettings:
    """What the training is told; benchmarks/configs/md17-MOLECULE.yaml says the same to `pyg-mpnn train`."""
    train_file, test_file = (
        f"{options.data}/rmd17_{cell.molecule}_{split}_01.npz" if options.data else "ethanol"
        for split in ("train", "test")
    )
    return TrainingSettings(
        data=train_file,
        test=test_file,
        out=str(out),
        size=cell.size,  # type: ignore[arg-type]
        minutes=options.minutes,
        seed=cell.seed,
        threads=options.threads,
        compile="on" if options.compile else "off",
        resume=(out / "last.ckpt").exists(),
    )


def table(folder: Path = FOLDER) -> str:
    """Markdown table of all result files beside the published values."""
    head = ["molecule", "size", "minutes", "threads", "seeds", "energy MAE (meV)", "force MAE (meV/A)"]
    rows = [[*head, "published force MAE"], ["---"] * 8]
    cells: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for path in sorted(folder.glob("*.json")):
        found = json.loads(path.read_text())
        cells.setdefault(tuple(found[name] for name in ("molecule", "size", "minutes", "compiled")), []).append(found)
    for (molecule, size, minutes, compiled), seeds in cells.items():
        numbers = [spread([one["test"][name] for one in seeds]) for name in ("energy_mae_meV", "forces_mae_meV_per_A")]
        mode = f"{minutes:g}{' (compiled)' if compiled else ''}"
        published = ", ".join(f"{name} {value}" for name, value in PUBLISHED[molecule].items())
        rows.append([molecule, size, mode, str(seeds[0]["threads"]), str(len(seeds)), *numbers, published])
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    missing = [name for name in MOLECULES if not any(molecule == name for molecule, *_ in cells)]
    few = [key[0] for key, seeds in cells.items() if len(seeds) < 3]
    lines += ["", f"Not run: {', '.join(missing) or 'none'}; fewer than three seeds: {', '.join(few) or 'none'}."]
    return "\n".join(lines)


def spread(values: Sequence[float]) -> str:
    """Mean, with the standard deviation where there are several."""
    mean = f"{statistics.fmean(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.1f}"


if __name__ == "__main__":
    main()
