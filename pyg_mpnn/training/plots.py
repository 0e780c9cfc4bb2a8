"""The two pictures of a training: parity and learning curve."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator
from numpy.typing import NDArray
from torch import Tensor

from pyg_mpnn.files import write_picture
from pyg_mpnn.training.history import History
from pyg_mpnn.training.metrics import Predictions, compute_errors

BLUE, ORANGE, GREY = "#2a6f97", "#e07a1f", "#888888"


def _figure(panels: int) -> tuple[Figure, NDArray[np.object_]]:
    figure = Figure(figsize=(4.6 * panels, 4.2), layout="constrained", dpi=130)
    FigureCanvasAgg(figure)
    return figure, figure.subplots(1, panels, squeeze=False)[0]


def _parity_panel(axes: Axes, reference: NDArray[np.float64], predicted: NDArray[np.float64]) -> None:
    low, high = min(reference.min(), predicted.min()), max(reference.max(), predicted.max())
    margin = 0.04 * (high - low) or 1.0
    limits = (low - margin, high + margin)
    axes.plot(limits, limits, color=GREY, linewidth=0.8, zorder=0)
    if len(reference) > 5000:
        hexagons = axes.hexbin(
            reference, predicted, gridsize=90, extent=(*limits, *limits), norm=LogNorm(), cmap="viridis", linewidths=0.1
        )
        axes.figure.colorbar(hexagons, ax=axes, label="count")
    else:
        axes.scatter(reference, predicted, s=8, color=BLUE, alpha=0.6, linewidths=0)
    axes.set(xlim=limits, ylim=limits, aspect="equal")


def plot_parity(predictions: Predictions, energy_zero: Tensor, path: Path, heading: str) -> None:
    """Predicted against reference values.

    Args:
        predictions: Predicted and reference values.
        energy_zero: What is subtracted from the energy of each structure, its sum of reference energies, in eV; without
            it all points of one molecule would lie at -4000 eV.
        path: The picture to write.
        heading: What the structures are, for instance "1000 test structures".

    Units:
        eV/A, meV/atom and meV/A^3 on the axes.
    """
    found = compute_errors(predictions)
    num_atoms = predictions.num_atoms.clamp(min=1)
    panels = [
        (
            f"force components, MAE {found.forces_mae_meV_per_A:.1f} meV/A",
            "eV/A",
            predictions.forces_ref,
            predictions.forces,
        ),
        (
            f"energy above the reference energies,\nMAE {found.energy_mae_meV_per_atom:.2f} meV/atom",
            "meV/atom",
            1e3 * (predictions.energy_ref - energy_zero) / num_atoms,
            1e3 * (predictions.energy - energy_zero) / num_atoms,
        ),
    ]
    if (
        found.stress_mae_meV_per_A3 is not None
        and predictions.stress is not None
        and predictions.stress_ref is not None
    ):
        known = ~predictions.stress_ref.isnan()
        title = f"stress components, MAE {found.stress_mae_meV_per_A3:.2f} meV/A$^3$\n= {found.stress_mae_GPa:.3f} GPa"
        reference, predicted = 1e3 * predictions.stress_ref[known], 1e3 * predictions.stress[known]
        panels.append((title, "meV/A$^3$", reference, predicted))
    figure, grid = _figure(len(panels))
    for axes, (quantity, unit, reference, predicted) in zip(grid, panels, strict=True):
        if reference.numel():
            _parity_panel(axes, reference.numpy().ravel(), predicted.numpy().ravel())
        axes.set(xlabel=f"reference ({unit})", ylabel=f"predicted ({unit})")
        axes.set_title(quantity, fontsize=10)
    figure.suptitle(heading)
    write_picture(path, figure.savefig)


def plot_learning_curve(history: History, path: Path) -> None:
    """Errors after each epoch, on logarithmic axes.

    Args:
        history: The rows of metrics.csv.
        path: The picture to write.

    Units:
        meV/A and meV/atom on the axes.
    """
    epoch = np.array([row["epoch"] for row in history])
    best = min(range(len(history)), key=lambda row: history[row]["valid_score"])
    raised = [row["epoch"] for row in history if row["energy_weight"] != history[0]["energy_weight"]]
    figure, grid = _figure(2)
    panels = (("forces", "meV_per_A", "force error (meV/A)"), ("energy", "meV_per_atom", "energy error (meV/atom)"))
    for axes, (quantity, unit, label) in zip(grid, panels, strict=True):
        for part, kind, color, style, text in (
            ("train", "rmse", GREY, "-", "training RMSE"),
            ("valid", "rmse", BLUE, "--", "validation RMSE (averaged weights)"),
            ("valid", "mae", BLUE, "-", "validation MAE (averaged weights)"),
        ):
            values = np.array([row[f"{part}_{quantity}_{kind}_{unit}"] for row in history])
            marker = "o" if len(history) == 1 else None
            axes.plot(epoch, values, color=color, linestyle=style, marker=marker, linewidth=1.2, label=text)
        axes.plot(epoch[best], values[best], "o", color=ORANGE, label=f"best.ckpt: MAE {values[best]:.2f}")
        if raised:
            axes.axvline(raised[0], color=GREY, linestyle=":", linewidth=0.9, label="energy weight raised")
        axes.set(xlabel="epoch", ylabel=label, yscale="log")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_minor_locator(LogLocator(subs=(2.0, 5.0)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("{x:g}")
        axes.grid(alpha=0.25, which="both", linewidth=0.5)
        axes.legend(fontsize=7)
    figure.suptitle(f"{len(history)} epochs, {history[-1]['minutes']:.1f} minutes")
    write_picture(path, figure.savefig)
