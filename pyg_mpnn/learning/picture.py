"""One page of pictures of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from pyg_mpnn.data import to_data
from pyg_mpnn.files import write_picture
from pyg_mpnn.learning.labels import LabelStore
from pyg_mpnn.learning.sampling import Walk
from pyg_mpnn.learning.selection import describe
from pyg_mpnn.models import Committee
from pyg_mpnn.training.plots import BLUE, GREY, ORANGE
from pyg_mpnn.training.uncertainty import LEVELS, deviations

_COLORS = {"displaced": GREY, "sampled": BLUE, "test": "#7b4ea3", "certificate": ORANGE}


def plot_learning(
    path: Path,
    state: Mapping[str, Any],
    target: float,
    model: Committee,
    store: LabelStore,
    ran: Walk,
    frames: Sequence[Atoms],
) -> None:
    """Draw error against labels, errors along the certificate's dynamics, coverage, and what was sampled.

    Args:
        path: of the picture.
        state: what state.json holds.
        target: in meV/A.
        model: the student.
        store: all labels.
        ran: the certificate's dynamics.
        frames: its labelled structures.

    Units:
        meV/A, ps.
    """
    figure = Figure(figsize=(10.5, 8.4), layout="constrained", dpi=130)
    FigureCanvasAgg(figure)
    grid = figure.subplots(2, 2)
    _draw_rounds(grid[0, 0], state["rounds"], target)
    _draw_dynamics(grid[0, 1], model, ran, frames)
    _draw_coverage(grid[1, 0], model, frames)
    _draw_map(grid[1, 1], model, store)
    formula = store.frames(["displaced"])[0].get_chemical_formula()
    figure.suptitle(f"{formula}: {len(store)} labels of {state['settings']['teacher']['class']}")
    write_picture(path, figure.savefig)


def _draw_rounds(axes: Axes, rounds: Sequence[Mapping[str, Any]], target: float) -> None:
    tested = [found for found in rounds if found["error_meV_per_A"] is not None]
    labels = [found["trained_on"] for found in tested]
    axes.plot(
        labels, [found["test"]["forces_rmse_meV_per_A"] for found in tested], "o-", color=BLUE, label="test: RMSE"
    )
    stated = [found["test"]["stated_meV_per_A"] for found in tested]
    axes.plot(labels, stated, "x--", color=GREY, label="test: stated, whole dynamics")
    certified = [found for found in rounds if found.get("certificate")]
    errors = [found["certificate"]["forces_rmse_meV_per_A"] for found in certified]
    axes.plot(
        [found["trained_on"] for found in certified], errors, "*", color=ORANGE, markersize=12, label="certificate"
    )
    axes.axhline(target, color="black", linewidth=0.8, linestyle=":", label="target")
    axes.set(yscale="log", xlabel="labels trained on", ylabel="force error (meV/A)")
    for axis_of in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        axis_of(StrMethodFormatter("{x:g}"))
    axes.set_title("error along the student's own dynamics", fontsize=10)
    axes.legend(frameon=False, fontsize=8)


def _draw_dynamics(axes: Axes, model: Committee, ran: Walk, frames: Sequence[Atoms]) -> None:
    _, bars = describe(model, ran.frames)
    axes.plot(1e-3 * np.array(ran.times), 1e3 * bars, color=BLUE, linewidth=1.0, label="error bar (RMS over atoms)")
    times = {atoms.positions.tobytes(): time for atoms, time in zip(ran.frames, ran.times, strict=True)}
    places, errors = [], []
    for atoms in frames:
        found = deviations(model, [to_data(atoms)])["forces"]
        places.append(1e-3 * times.get(atoms.positions.tobytes(), np.nan))
        errors.append(1e3 * float(np.sqrt(np.mean(found.errors**2))))
    axes.plot(places, errors, "o", color=ORANGE, markersize=4, label="error (RMS over atoms)")
    axes.set(xlabel="time (ps)", ylabel="force (meV/A)")
    axes.set_ylim(bottom=0)
    axes.set_title("certificate: the student's own dynamics", fontsize=10)
    axes.legend(frameon=False, fontsize=8)


def _draw_coverage(axes: Axes, model: Committee, frames: Sequence[Atoms]) -> None:
    found = deviations(model, [to_data(atoms) for atoms in frames])["forces"]
    levels = np.linspace(0.0, 0.995, 120)
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, label="right")
    axes.plot(
        levels, [found.inside(level) for level in levels], color=BLUE, label=f"{len(found.errors)} force components"
    )
    for level in LEVELS:
        share = found.inside(level)
        axes.plot([level], [share], "o", color=ORANGE, markersize=4)
        axes.annotate(
            f"{share:.0%}", (level, share), textcoords="offset points", xytext=(-8, 4), fontsize=8, ha="right"
        )
    axes.set(xlabel="stated share of errors", ylabel="found share of errors", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.set_title("certificate: coverage of the intervals", fontsize=10)
    axes.legend(frameon=False, fontsize=8)


def _draw_map(axes: Axes, model: Committee, store: LabelStore) -> None:
    frames = store.frames(list(_COLORS))
    features, _ = describe(model, frames)
    centred = features - features.mean(axis=0)
    spread = centred.std(axis=0)
    used = spread > 1e-9 * max(1.0, float(spread.max()))
    centred = centred[:, used] / spread[used]
    _, _, axes_of = np.linalg.svd(centred, full_matrices=False)
    points = centred @ axes_of[:2].T
    kinds = np.array([frame.info["config_type"] for frame in frames])
    for kind, color in _COLORS.items():
        own = kinds == kind
        if own.any():
            axes.scatter(
                points[own, 0],
                points[own, 1],
                s=12,
                color=color,
                alpha=0.7,
                linewidths=0,
                label=f"{kind} ({own.sum()})",
            )
    axes.set(xlabel="first principal component", ylabel="second")
    axes.set_title("labelled structures, by the student's last layer", fontsize=10)
    axes.legend(frameon=False, fontsize=8)
