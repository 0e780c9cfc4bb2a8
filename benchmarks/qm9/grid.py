"""How does the error on QM9 fall with the number of molecules, and does each of the 12 targets work?

Learning curves of U0 (1,000, 5,000 and 10,000 molecules) with their log-log slope, beside PyG's SchNet on given edges
at 1,000 and 5,000, and a short training of every other target at 1,000. Each cell is one training on the first n
training molecules of the hashed split (QM9.split, seed 0), validated on at most 1,000 of its validation molecules and
tested once, on all its test molecules; those with an element that no training molecule has are left out and counted
(fluorine: 15 of the 76,699 molecules of the local folder). One JSON a cell; finished cells are skipped, interrupted
ones go on where they were (--runs). The learning rate of each model is the best of three on the validation molecules,
from short trainings at n = 1,000 (`tune`); without them it is the middle one.

    python -m benchmarks.qm9.grid tune --data DIR                     6 short trainings; DIR as pyg_mpnn.data.QM9
    python -m benchmarks.qm9.grid run --data DIR --budget-minutes 60  cells until the minutes are over
    python -m benchmarks.qm9.grid run --data DIR --only U0-ours-1000-seed0 mu-ours-1000-seed0
    python -m benchmarks.qm9.grid list                                the cells, and which are done
    python -m benchmarks.qm9.grid table                               Markdown tables from the JSON
    python -m benchmarks.qm9.grid run --smoke                         all targets in seconds, on the tests' 96 molecules
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch_geometric.data import Data

from benchmarks.qm9.schnet import CUTOFF, SchNetRepresentation
from benchmarks.record import RESULTS, provenance, write
from pyg_mpnn import PropertyModel
from pyg_mpnn.data import QM9, QM9_TARGETS
from pyg_mpnn.training import TrainingSettings, train_property

FOLDER = RESULTS / "qm9"
SAMPLE = Path(__file__).parents[2] / "tests" / "data" / "assets" / "qm9"
EPOCHS = {1_000: 200, 5_000: 80, 10_000: 50, 50_000: 25}
SHORT_EPOCHS = 30  # of the targets other than U0, and of the choice of the learning rate
RATES = {"ours": (1e-3, 3e-3, 1e-2), "schnet": (3e-4, 1e-3, 3e-3)}
BATCH_SIZE, VALID = 32, 1_000


class Cell(NamedTuple):
    """One training."""

    target: str
    model: str
    n: int
    seed: int

    @property
    def name(self) -> str:
        """Its name, and that of its file."""
        return f"{self.target}-{self.model}-{self.n}-seed{self.seed}"


CELLS = [
    *(Cell("U0", "ours", n, 0) for n in (1_000, 5_000, 10_000)),
    *(Cell("U0", "schnet", n, 0) for n in (1_000, 5_000)),
    *(Cell(target, "ours", 1_000, 0) for target in QM9_TARGETS if target != "U0"),
    *(Cell("U0", model, n, seed) for seed in (1, 2) for model in ("ours", "schnet") for n in (1_000, 5_000)),
    Cell("U0", "ours", 50_000, 0),
]
"""In the order in which they are run; the last needs hours on two cores."""


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
        for model, rates in RATES.items():
            for rate in rates:
                run_cell(Cell("U0", model, 1_000, 0), options, FOLDER / "tune", rate, SHORT_EPOCHS, test=False)
    else:
        run(options)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("run", "tune", "list", "table"))
    parser.add_argument("--data", help="folder of QM9")
    parser.add_argument("--only", nargs="+", help="names of the cells to run, as `list` shows them")
    parser.add_argument(
        "--budget-minutes", type=float, default=float("inf"), help="start no cell after so many minutes"
    )
    parser.add_argument("--epochs", type=int, help="in place of those of the script; the result file says so")
    parser.add_argument("--size", default="base", choices=("small", "base", "large"), help="of our model")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--runs", type=Path, default=Path("runs/qm9"), help="folder of unfinished trainings")
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    unknown = set(options.only or ()) - {cell.name for cell in CELLS}
    if unknown:
        parser.error(f"--only must name cells of `list`, got {', '.join(sorted(unknown))}")
    if options.part in ("run", "tune") and not options.smoke and options.data is None:
        parser.error("--data is needed (or --smoke)")
    return options


def run(options: argparse.Namespace) -> None:
    """The cells that are not done, until the minutes are over."""
    start = time.monotonic()
    for cell in CELLS:
        if options.only and cell.name not in options.only:
            continue
        if (FOLDER / f"{cell.name}.json").exists():
            continue
        if time.monotonic() - start > 60 * options.budget_minutes:
            print(f"the minutes are over: {cell.name} and what follows were not started")
            return
        full = SHORT_EPOCHS if cell.target != "U0" else EPOCHS[cell.n]
        run_cell(cell, options, FOLDER, chosen_rate(cell.model), options.epochs or full)


def chosen_rate(model: str) -> float:
    """The learning rate with the lowest validation error at 1,000 molecules, or the middle one."""
    found = [json.loads(path.read_text()) for path in sorted((FOLDER / "tune").glob(f"U0-{model}-*.json"))]
    if len(found) < len(RATES[model]):
        return RATES[model][1]
    return float(min(found, key=lambda record: record["validation_mae"])["learning_rate"])


def run_cell(
    cell: Cell, options: argparse.Namespace, folder: Path, rate: float, epochs: int, test: bool = True
) -> dict[str, Any] | None:
    """One training and its result file; without ``test`` the test molecules are not touched."""
    path = folder / f"{cell.name}{'' if test else f'-rate{rate:g}'}.json"
    if path.exists():
        return None
    data = QM9(options.data, cell.target)
    split = data.split(0)
    if cell.n > len(split.train):
        raise ValueError(f"'n' must be at most the {len(split.train)} training molecules, got {cell.n}")
    train = [data[k] for k in split.train[: cell.n]]
    valid, valid_left = known(train, [data[k] for k in split.valid[:VALID]])
    held_out, test_left = known(train, [data[k] for k in split.test]) if test else (valid, 0)
    out = options.runs / path.stem
    if out.exists() and not (out / "last.ckpt").exists():
        shutil.rmtree(out)
    settings = TrainingSettings(
        data=str(options.data),
        out=str(out),
        target=cell.target,
        size=options.size,
        cutoff=CUTOFF if cell.model == "schnet" else 5.0,
        epochs=epochs,
        seed=cell.seed,
        batch_size=BATCH_SIZE,
        learning_rate=rate,
        threads=options.threads,
        device=options.device,
        resume=out.exists(),
    )
    torch.manual_seed(cell.seed)
    kind = QM9_TARGETS[cell.target].kind
    model = PropertyModel(SchNetRepresentation(), kind=kind) if cell.model == "schnet" else None
    result = train_property(settings, model, parts=(train, valid, held_out))
    found = json.loads((out / "result.json").read_text())
    record = provenance() | {
        "cell": cell._asdict(),
        "data": f"{Path(options.data).name}: {len(data)} of the 130,831 molecules of QM9",
        "split": f"split_qm9({len(data)}, seed=0), sha256 {split.sha256}; {len(train)} to train, {len(valid)} to "
        f"validate, {len(held_out) if test else 0} to test",
        "left_out": f"{valid_left} validation and {test_left} test molecules with an element (fluorine) that none of "
        "the training molecules has",
        "size": options.size if cell.model == "ours" else "published",
        "learning_rate": rate,
        "epochs": epochs,
        "batch_size": BATCH_SIZE,
        "minutes": found["minutes_done"],
        "seconds_per_epoch": 60 * found["minutes_done"] / found["epochs_done"],
        "parameters": found["parameters"],
        "config": found["config"],
        "unit": result.unit,
        "validation_mae": found["validation_mae"],
    }
    if test:
        record |= {
            "test_mae": result.mae,
            "test_mae_of_composition": result.composition_mae,
            "test_mae_of_mean": result.mean_mae,
        }
    write(path, record)
    shutil.rmtree(out)
    return record


def known(train: list[Data], molecules: list[Data]) -> tuple[list[Data], int]:
    """The molecules whose elements the training set has, and the number of the others."""
    elements = {int(z) for molecule in train for z in molecule.z}
    kept = [molecule for molecule in molecules if set(molecule.z.tolist()) <= elements]
    return kept, len(molecules) - len(kept)


def smoke(options: argparse.Namespace) -> None:
    """Every target and both models on the sample: do they run, and is the result file whole?"""
    options.data, options.size = str(SAMPLE), "small"
    with tempfile.TemporaryDirectory() as scratch:
        options.runs = Path(scratch) / "runs"
        cells = [Cell(target, "ours", 64, 0) for target in QM9_TARGETS] + [Cell("U0", "schnet", 64, 0)]
        for cell in cells:
            record = run_cell(cell, options, Path(scratch), RATES[cell.model][1], epochs=2)
            assert record is not None
            assert np.isfinite(record["test_mae"])
        print(table(Path(scratch)))


def slope(cells: list[dict[str, Any]]) -> tuple[float, float] | None:
    """Exponent of the error against the number of molecules, with its standard error; needs three cells, two sizes."""
    n = np.log([cell["cell"]["n"] for cell in cells])
    if len(n) < 3 or len(set(n)) < 2:
        return None
    mae = np.log([cell["test_mae"] for cell in cells])
    centred = n - n.mean()
    value = (centred * mae).sum() / (centred**2).sum()
    left = mae - mae.mean() - value * centred
    return float(value), float(np.sqrt((left**2).sum() / (len(n) - 2) / (centred**2).sum()))


def table(folder: Path = FOLDER) -> str:
    """Markdown table of all cells, and the slopes."""
    cells = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    order = {target: place for place, target in enumerate(QM9_TARGETS)}
    cells.sort(key=lambda c: (order[c["cell"]["target"]], c["cell"]["model"], c["cell"]["n"], c["cell"]["seed"]))
    rows = [["target", "model", "molecules", "seed", "epochs", "minutes", "MAE", "composition alone", "mean alone"]]
    rows.append(["---"] * len(rows[0]))
    for cell in cells:
        scale, unit = (1e3, "meV") if cell["unit"] == "eV" else (1.0, cell["unit"])
        maes = [
            f"{scale * cell[key]:.4g} {unit}" for key in ("test_mae", "test_mae_of_composition", "test_mae_of_mean")
        ]
        which = cell["cell"]
        name = f"ours, {cell['size']}" if which["model"] == "ours" else "SchNet (PyG)"
        plain = [which["target"], name, f"{which['n']:,}", str(which["seed"])]
        rows.append([*plain, str(cell["epochs"]), f"{cell['minutes']:.1f}", *maes])
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    for model in RATES:
        found = slope([c for c in cells if (c["cell"]["target"], c["cell"]["model"]) == ("U0", model)])
        text = "not determined" if found is None else f"{found[0]:.2f} ± {found[1]:.2f}"
        lines.append(f"\nLog-log slope of the U0 error of {model}: {text}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
