"""The pictures of the README.

python -m benchmarks.picture demo    parity and energy conservation of a finished `make demo` in the folder demo:
                                     docs/images/demo.png, and benchmarks/results/demo.json about it
python -m benchmarks.picture error   error against time beside the peers, from result files:
                                     docs/images/error_time.png
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

from benchmarks.md17.page import cost_of_large, cost_of_small, trainings
from benchmarks.md17.train import PUBLISHED
from benchmarks.peers.table import Results
from benchmarks.record import RESULTS

IMAGES = Path(__file__).parents[1] / "docs" / "images"
STARTS = {"random": "from random weights", "organic": "from organic (GFN2-xTB)"}
SHOWN = ("MACE", "NequIP", "PaiNN")  # of the published values
PEERS = {"schnet": "SchNet (PyG)", "painn": "PaiNN (SchNetPack)", "mace-64": "MACE 64x0e"}


def main() -> None:
    if sys.argv[1] == "error":
        draw_errors(IMAGES / "error_time.png")
    else:
        draw_demo(Path(sys.argv[1]), IMAGES / "demo.png")


def draw_demo(run: Path, target: Path) -> None:
    """Two pictures of a run, one above the other."""
    pictures = [imread(run / name) for name in ("parity.png", "md/energy_drift.png")]
    heights = [picture.shape[0] / picture.shape[1] for picture in pictures]
    figure = Figure(figsize=(7.5, 7.5 * sum(heights)), layout="constrained")
    for axes, picture in zip(figure.subplots(2, height_ratios=heights), pictures, strict=True):
        axes.imshow(picture)
        axes.axis("off")
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=100)
    shutil.copy(run / "model_card.json", RESULTS / "demo.json")
    print(f"written to {target} and {RESULTS / 'demo.json'}")


def draw_errors(target: Path) -> None:
    """Test error on aspirin against the time of its energy and forces: ours, peers, and published values as lines."""
    results = Results("aspirin")
    figure = Figure(figsize=(7.6, 4.4), layout="constrained")
    axes = figure.subplots()
    for model, name in PEERS.items():
        errors, time = list(results.forces(model).values()), results.fastest(model)
        if errors and time is not None:
            point = (time["us_per_atom"], sum(errors) / len(errors))
            axes.plot(*point, "o", color="tab:gray", ms=8)
            axes.annotate(f"{name}, 10 min", point, xytext=(9, -3), textcoords="offset points", fontsize=9)
    base = results.fastest("ours")
    assert base is not None
    costs = {"small": cost_of_small("aspirin", 1), "base": 1.0, "large": cost_of_large("one aspirin")}
    longest: dict[str, dict[str, tuple[float, float]]] = {"random": {}, "organic": {}}  # by start and size
    ours = [found for found in trainings() if found["molecule"] == "aspirin"]
    for found in sorted(ours, key=lambda found: found["minutes"]):
        size, _, pretrained = found["size"].partition(", ")
        point = (base["us_per_atom"] * costs[size], found["test"]["forces_mae_meV_per_A"])
        longest["organic" if pretrained else "random"][size] = point
        axes.plot(*point, "*", color="tab:red", ms=14, markerfacecolor="white" if pretrained else "tab:red", zorder=3)
        place = {"xytext": (-11, -3), "ha": "right"} if pretrained else {"xytext": (11, -4 if size == "large" else 1)}
        label = f"{size}, {found['minutes']:g} min"
        axes.annotate(label, point, textcoords="offset points", fontsize=9, color="tab:red", **place)
    for start, points in longest.items():
        of: dict[str, Any] = {"color": "tab:red", "marker": "*", "ms": 14, "linewidth": 1}
        of |= {"markerfacecolor": "white", "linestyle": ":"} if start == "organic" else {}
        axes.plot(*zip(*sorted(points.values()), strict=True), label=f"pyg_mpnn, {STARTS[start]}", **of)
    axes.legend(loc="upper left")
    axes.set(xscale="log", yscale="log", xlim=(18, 1500), ylim=(5.5, 120))
    for name, error in ((name, PUBLISHED["aspirin"][name]) for name in SHOWN):
        axes.axhline(error, color="0.75", linewidth=0.8, linestyle="--", zorder=0)
        axes.annotate(
            f"{name}, published", (1480, error), xytext=(0, 2), textcoords="offset points", ha="right", fontsize=8
        )
    for axis, ticks in ((axes.xaxis, [20, 50, 100, 200, 500, 1000]), (axes.yaxis, [7, 10, 20, 50, 100])):
        axis.set_major_locator(FixedLocator(ticks))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(ScalarFormatter())
    axes.set_xlabel("energy and forces of one aspirin, one core (µs/atom)")
    axes.set_ylabel("force MAE, test (meV/Å)")
    axes.set_title("Aspirin (rMD17, 950 frames), trained on one core for the minutes at each point", fontsize=10)
    figure.savefig(target, dpi=130)
    print(f"written to {target}")


if __name__ == "__main__":
    main()
