"""Draws result files of `compare.py`.

python -m benchmarks.speed.picture FILE [FILE ...] --out speed.png
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

from benchmarks.speed.table import FLOOR, bytes_per_atom, number, us_per_atom

TITLES = {
    "aspirin": "one aspirin, energy and forces",
    "aspirin32": "32 aspirin, energy and forces",
    "train32": "training step, 32 aspirin",
}
COLORS = {"ours": "tab:blue", "ours-small": "tab:cyan"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    records = [record for file in options.files for record in json.loads(file.read_text())["records"]]
    draw([record for record in records if "error" not in record and record["threads"] == 1], options.out)


def draw(records: list[dict[str, Any]], path: Path) -> None:
    """Times of the works with a title, and time and memory per atom of silicon where there are any."""
    works = [work for work in TITLES if any(record["work"] == work for record in records)]
    crystals = [record for record in records if record["work"].startswith("silicon") and record["mode"] != FLOOR]
    panels = len(works) + (2 if crystals else 0)
    rows, columns = -(-panels // 3), min(panels, 3)
    figure, grid = plt.subplots(rows, columns, figsize=(4.2 * columns, 4.4 * rows), layout="constrained", squeeze=False)
    axes = grid.flatten()
    for axis in axes[panels:]:
        axis.remove()
    for axis, work in zip(axes, works, strict=False):
        bars(axis, [record for record in records if record["work"] == work and record["cutoff_A"] == 5.0])
        axis.set_title(TITLES[work], fontsize=10)
    if crystals:
        values = (us_per_atom, bytes_per_atom), ("microseconds per atom", "bytes per atom")
        for axis, value, label in zip(axes[panels - 2 : panels], *values, strict=True):
            growth(axis, crystals, value)
            axis.set_ylabel(label)
            axis.set_title("silicon, energy and forces", fontsize=10)
    figure.savefig(path, dpi=150)
    print(f"written to {path}")


def bars(axis: Any, records: list[dict[str, Any]]) -> None:
    """Eager and best other mode of every model, fastest at the top, and the floor of ours as a line."""
    best: dict[str, dict[str, float]] = {}
    for record in records:
        kind = "eager" if record["mode"] == "eager" else "best"
        if record["mode"] != FLOOR:
            times = best.setdefault(record["model"], {})
            times[kind] = min(record["median_ms"], times.get(kind, float("inf")))
    order = sorted(best, key=lambda model: -min(best[model].values()))
    for row, model in enumerate(order):
        color = COLORS.get(model, "tab:gray")
        for kind, offset, alpha in (("eager", -0.2, 0.45), ("best", 0.2, 1.0)):
            if kind in best[model]:
                axis.barh(row + offset, best[model][kind], height=0.38, color=color, alpha=alpha)
                axis.text(best[model][kind], row + offset, f" {number(best[model][kind])}", va="center", fontsize=7)
    floors = {record["model"]: record["matmul_floor_ms"] for record in records if record.get("matmul_floor_ms")}
    for model, floor in floors.items():
        row = order.index(model)
        axis.plot([floor, floor], [row - 0.45, row + 0.45], color="black", linewidth=1.5)
    axis.set_yticks(range(len(order)), order, fontsize=8)
    axis.set_xscale("log")
    axis.margins(x=0.2)
    axis.set_xlabel("ms: pale eager, full other mode, line floor", fontsize=8)


def growth(axis: Any, records: list[dict[str, Any]], value: Any) -> None:
    """A number per atom against the number of atoms."""
    for model, mode in dict.fromkeys((record["model"], record["mode"]) for record in records):
        own = [record for record in records if (record["model"], record["mode"]) == (model, mode)]
        own.sort(key=lambda record: record["atoms"])
        label = f"{model}, {mode}"
        axis.plot([record["atoms"] for record in own], [value(record) for record in own], ".-", label=label)
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlabel("atoms")
    axis.legend(fontsize=7)


if __name__ == "__main__":
    main()
