"""The picture of `table.py`: force error against time, and how the error fell."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from pyg_mpnn.training.ablation.report import pareto_front

if TYPE_CHECKING:
    from benchmarks.peers.table import Results

COLORS = {
    "ours": "tab:blue",
    "ours-small": "tab:cyan",
    "schnet": "tab:gray",
    "visnet": "tab:olive",
    "painn": "tab:green",
    "mace-64": "tab:orange",
    "mace-128": "tab:red",
    "nequip": "tab:purple",
    "tensornet": "tab:brown",
    "ours-small-in-the-loop": "tab:pink",
}


def draw(results: Results, path: Path) -> None:
    """Errors on the test frames against the time of one structure in the fastest mode; validation errors by minutes."""
    figure = Figure(figsize=(11, 4.6), layout="constrained", dpi=130)
    FigureCanvasAgg(figure)
    pareto, curves = figure.subplots(1, 2)
    points = []
    for model in results.models:
        forces, time, color = list(results.forces(model).values()), results.fastest(model), COLORS[model]
        if not forces:
            continue
        if time is not None:
            x, mean = time["us_per_atom"], statistics.fmean(forces)
            points.append((x, mean))
            pareto.plot([x, x], [min(forces), max(forces)], color=color, linewidth=1.5)
            pareto.plot(x, mean, "*" if model.startswith("ours") else "o", color=color, markersize=9)
            pareto.annotate(model, (x, mean), xytext=(6, 5), textcoords="offset points", fontsize=8)
        for number, cell in enumerate(results.done(model)):
            points_of_curve = cell["learning_curve"]
            curves.plot(
                [point["minutes"] for point in points_of_curve],
                [point["forces_mae_meV_per_A"] for point in points_of_curve],
                color=color,
                linewidth=1.1,
                label=None if number else model,
            )
    front = pareto_front(points)
    pareto.step([x for x, _ in front], [y for _, y in front], where="post", color="#bbbbbb", linewidth=0.8, zorder=0)
    pareto.set(xlabel="energy and forces of one structure (µs/atom)", ylabel="force MAE, test frames (meV/A)")
    curves.set(xlabel="minutes of training", ylabel="force MAE, validation frames (meV/A)")
    for axes, both in ((pareto, True), (curves, False)):
        _logarithmic(axes, both)
    curves.legend(fontsize=8)
    figure.suptitle(results.molecule)
    figure.savefig(path)
    print(f"written to {path}")


def _logarithmic(axes: Any, both: bool) -> None:
    axes.set_yscale("log")
    shown = [axes.yaxis]
    if both:
        axes.set_xscale("log")
        axes.margins(0.2)
        shown.append(axes.xaxis)
    for axis in shown:
        axis.set_major_formatter("{x:g}")
        axis.set_minor_locator(LogLocator(subs=(2.0, 5.0)))
        axis.set_minor_formatter("{x:g}")
    axes.tick_params(which="both", labelsize=8)
    axes.grid(alpha=0.25, linewidth=0.5)
