"""What do arguments of `pyg_mpnn.MPNN` and of its training reach on rMD17?

One training a call, compiled, one thread, rMD17 split 01 (950 + 50 frames), one JSON in benchmarks/results/products/.
Validation frames choose; the 1000 test frames are used with --test only, once, for what was chosen.

    python -m benchmarks.md17.products NAME --data DIR --minutes 8 --set learning_rate=0.01 --model num_products=1
    python -m benchmarks.md17.products base-90min --data DIR --minutes 90 --model size=base --test
    python -m benchmarks.md17.products table                 Markdown table of all result files
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.record import RESULTS, provenance, write
from pyg_mpnn.training import TrainingSettings, train

FOLDER = RESULTS / "products"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="of the result file, or 'table'")
    parser.add_argument("--data", type=Path, help="folder with rmd17_MOLECULE_{train,test}_01.npz")
    parser.add_argument("--molecule", default="aspirin")
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", nargs="*", default=[], metavar="ARGUMENT=VALUE", help="of the network")
    parser.add_argument("--set", nargs="*", default=[], metavar="SETTING=VALUE", help="of the training")
    parser.add_argument("--test", action="store_true")
    parser.add_argument("--runs", type=Path, default=Path("runs/products"))
    options = parser.parse_args()
    if options.name == "table":
        print(table())
    else:
        run(options)


def run(options: argparse.Namespace) -> None:
    """Train, test if asked to, and write the result file."""
    model, chosen = plain(options.model), plain(options.set)
    out = options.runs / options.name
    files = [str(options.data / f"rmd17_{options.molecule}_{split}_01.npz") for split in ("train", "test")]
    settings = TrainingSettings(
        data=files[0],
        test=files[1] if options.test else None,
        out=str(out),
        minutes=options.minutes,
        epochs=options.epochs,
        seed=options.seed,
        threads=1,
        compile="on",
        resume=(out / "last.ckpt").exists(),
        size=model.pop("size", "base"),
        model=model,
        **chosen,
    )
    begun = time.process_time()
    result = train(settings)
    with (out / "metrics.csv").open() as file:
        history = list(csv.DictReader(file))
    best = min(history, key=lambda row: float(row["valid_score"]))
    record: dict[str, Any] = {
        "name": options.name,
        "molecule": options.molecule,
        "seed": options.seed,
        "data": [Path(file).name for file in files[: 1 + options.test]],
        "split": "rMD17 split 01: 950 training and 50 validation frames drawn from the training file, 1000 test frames",
        "minutes": options.minutes,
        "minutes_of_cpu": (time.process_time() - begun) / 60,  # of this process, less where the core was shared
        "epochs": int(history[-1]["epoch"]),
        "steps": int(history[-1]["step"]),
        "parameters": sum(parameter.numel() for parameter in result.potential.parameters()),
        "config": result.potential.config,
        "settings": chosen,
        "training_forces_rmse_meV_per_A": float(history[-1]["train_forces_rmse_meV_per_A"]),
        "validation": {name: float(best[f"valid_{name}"]) for name in ("forces_mae_meV_per_A", "energy_mae_meV")},
        "test": asdict(result.errors) if options.test else None,
        "units": "meV, meV/A",
        "cores": sorted(os.sched_getaffinity(0)),
    }
    write(FOLDER / f"{options.name}.json", provenance() | record)


def plain(pairs: list[str]) -> dict[str, Any]:
    """Arguments by name; a value is JSON or else a word."""
    found = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        try:
            found[name] = json.loads(value)
        except json.JSONDecodeError:
            found[name] = value
    return found


def table(folder: Path = FOLDER) -> str:
    """Markdown table of all trainings."""
    head = ["training", "molecule", "parameters", "minutes", "epochs", "training RMSE", "validation MAE", "test MAE"]
    rows = [head, ["---"] * len(head)]
    for path in sorted(folder.glob("*.json")):
        found = json.loads(path.read_text())
        if "validation" not in found:
            continue
        test = "-" if found["test"] is None else f"{found['test']['forces_mae_meV_per_A']:.1f}"
        minutes = "-" if found["minutes"] is None else f"{found['minutes']:g}"
        rows.append(
            [
                found["name"],
                found["molecule"],
                f"{found['parameters']:,}",
                minutes,
                str(found["epochs"]),
                f"{found['training_forces_rmse_meV_per_A']:.1f}",
                f"{found['validation']['forces_mae_meV_per_A']:.1f}",
                test,
            ]
        )
    if len(rows) == 2:
        return "No training has been run to its end yet."
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


if __name__ == "__main__":
    main()
