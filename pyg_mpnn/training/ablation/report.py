"""The result of a comparison for people: a table, a verdict for each block, a picture."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from pyg_mpnn.files import write_picture, write_text
from pyg_mpnn.training.ablation.cells import read_cells
from pyg_mpnn.training.ablation.settings import BLOCKS, REFERENCE
from pyg_mpnn.training.ablation.summary import Row, block_verdict, summarize

UNDISTURBED = 0.9  # share of the processor that a cell has when nothing else runs
_BLUE, _ORANGE, _GREY = "#2a6f97", "#e07a1f", "#aaaaaa"


def markdown(out: str | Path) -> str:
    """Table and verdicts.

    Args:
        out: The folder of the comparison.

    Returns:
        Markdown text; a sentence where there is no cell yet.

    Units:
        meV, meV/A and microseconds per atom.
    """
    rows = summarize(out)
    if not rows:
        return "Not run."
    reference = _reference(rows)
    lines = [
        "| variant | seeds | parameters | steps | force MAE (meV/A) | less reference | energy MAE (meV) | "
        "E+F (µs/atom) | training step (µs/atom) | verdict |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        difference = row.difference(reference) if row is not reference and reference is not None else None
        cells = [
            row.name,
            str(len(row.forces)),
            "" if row.parameters is None else f"{row.parameters:,}",
            f"{row.steps:.0f}",
            _mean(row.forces),
            "" if difference is None else str(difference),
            _mean(row.energy),
            _time(row, "evaluate"),
            _time(row, "train"),
            "" if row is reference or reference is None else row.verdict(reference),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    blocks = [block for block in BLOCKS if any(row.block == block for row in rows)]
    if reference is not None:
        lines += ["", *(f"- {block_verdict(block, rows, reference)}" for block in blocks)]
    return "\n".join([*_caption(Path(out)), "", *lines])


def write_report(out: str | Path) -> None:
    """Write ``ablation.md`` and ``pareto.png`` to the folder of the comparison."""
    out = Path(out)
    write_text(out / "ablation.md", f"# Which building block pays?\n\n{markdown(out)}\n\n![Errors](pareto.png)\n")
    plot_pareto(summarize(out), out / "pareto.png")


def plot_pareto(rows: Sequence[Row], path: Path) -> None:
    """Force MAE against time, one panel a block, the front of all variants in each.

    Args:
        rows: All rows.
        path: The picture to write.

    Units:
        meV/A against microseconds per atom.
    """
    points = [row for row in rows if row.forces and row.time("evaluate") is not None]
    blocks = [block for block in BLOCKS if any(row.block == block for row in points)]
    columns = min(3, len(blocks)) or 1
    lines = -(-len(blocks) // columns) or 1
    figure = Figure(figsize=(4.2 * columns, 3.4 * lines + 0.4), layout="constrained", dpi=130)
    FigureCanvasAgg(figure)
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for axes, block in zip(grid, blocks, strict=False):
        _panel(axes, block, points)
    for axes in grid[len(blocks) :]:
        axes.axis("off")
    figure.supxlabel("energy and forces of one structure (µs/atom)", fontsize=10)
    figure.supylabel("force MAE after equal minutes (meV/A)", fontsize=10)
    write_picture(path, figure.savefig)


def _panel(axes: Axes, block: str, points: Sequence[Row]) -> None:
    for row in points:
        shown = row.block in (block, REFERENCE)
        color = _ORANGE if row.block == REFERENCE else _BLUE if shown else _GREY
        x, values = row.time("evaluate"), list(row.forces.values())
        assert x is not None
        mean = statistics.fmean(values)
        marker = "*" if row.block == REFERENCE else "o"
        axes.plot(
            x, mean, marker, color=color, markersize=10 if row.block == REFERENCE else 6, zorder=3 if shown else 1
        )
        if shown:
            axes.plot([x, x], [min(values), max(values)], color=color, linewidth=1.2, zorder=2)
            label = row.name.removeprefix(f"{block} ").removesuffix(" with random rotations")
            above = row.block != REFERENCE
            axes.annotate(
                label,
                (x, max(values) if above else min(values)),
                xytext=(0, 5 if above else -5),
                textcoords="offset points",
                ha="center",
                va="bottom" if above else "top",
                fontsize=8,
                color=color,
            )
    front = pareto_front([(row.times["evaluate"]["median"], statistics.fmean(row.forces.values())) for row in points])
    axes.step([x for x, _ in front], [y for _, y in front], where="post", color=_GREY, linewidth=0.8, zorder=0)
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(LogLocator(subs=(1.5, 2.0, 3.0, 4.0, 5.0, 7.0)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter("{x:g}")
    axes.tick_params(which="both", labelsize=8)
    axes.margins(0.18)
    axes.set_title(block, fontsize=10)


def pareto_front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that no other point beats in both numbers.

    Args:
        points: Pairs of which less is better.

    Returns:
        The front, by the first number.

    Example:
        >>> pareto_front([(1.0, 5.0), (2.0, 6.0), (3.0, 2.0)])
        [(1.0, 5.0), (3.0, 2.0)]
    """
    front: list[tuple[float, float]] = []
    for point in sorted(points):
        if not front or point[1] < front[-1][1]:
            front.append(point)
    return front


def _reference(rows: Sequence[Row]) -> Row | None:
    return next((row for row in rows if row.block == REFERENCE), None)


def _mean(values: Mapping[int, float]) -> str:
    if not values:
        return "diverged"
    mean = statistics.fmean(values.values())
    return f"{mean:.1f}" if len(values) == 1 else f"{mean:.1f} ± {statistics.stdev(values.values()):.1f}"


def _time(row: Row, kind: str) -> str:
    time = row.time(kind)
    return "" if time is None else f"{time:.0f}"


def _caption(out: Path) -> list[str]:
    done = [cell for cell in read_cells(out) if "error" not in cell]
    if not done:
        return []
    cell = done[0]
    grid = json.loads((out / "grid.json").read_text())
    changed = "".join(f", {name} {value}" for name, value in grid["model"].items())
    compiled = "compiled" if grid["compile"] == "on" else "eager"
    shares = [cell["cpu_seconds_per_second"] / cell["threads"] for cell in done if cell["device"] == "cpu"]
    disturbed = [share for share in shares if share < UNDISTURBED]
    return [
        f"{Path(grid['data']).name}, size {grid['size']}{changed}, cutoff {grid['cutoff']:g} A, "
        f"{grid['minutes']:g} minutes a cell, batch {grid['batch_size']}, {compiled}, {cell['device']}, "
        f"{cell['threads']} thread(s). Errors on the {cell['errors_of']}, mean and standard deviation over the seeds. "
        "Differences are means over equal seeds with their 95 % interval (Student's t); of twenty, one is wrong by "
        "chance. Times are medians of interleaved runs, edges given."
        + (
            f" In {len(disturbed)} of {len(done)} cells another program took part of the processor (the lowest share "
            f"was {min(disturbed):.0%}): equal minutes were not equal work there."
            if disturbed
            else ""
        )
    ]
