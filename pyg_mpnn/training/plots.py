"""Pictures of a training and a test: parity, learning curve, single structures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator
from numpy.typing import NDArray
from torch import Tensor
from torch_geometric.data import Data

from pyg_mpnn.data import to_atoms
from pyg_mpnn.files import write_picture
from pyg_mpnn.training.logs import History
from pyg_mpnn.training.metrics import Predictions, compute_errors

BLUE, ORANGE, GREY = "#2a6f97", "#e07a1f", "#888888"
MAGENTA = (1.0, 0.0, 1.0)


def new_figure(panels: int) -> tuple[Figure, NDArray[np.object_]]:
    """A row of panels.

    Args:
        panels: how many.

    Returns:
        the figure and its axes.
    """
    figure = Figure(figsize=(4.6 * panels, 4.2), layout="constrained", dpi=130)
    FigureCanvasAgg(figure)
    return figure, figure.subplots(1, panels, squeeze=False)[0]


def _parity_panel(axes: Axes, reference: NDArray[np.float64], predicted: NDArray[np.float64]) -> None:
    low, high = min(reference.min(), predicted.min()), max(reference.max(), predicted.max())
    few = len(reference) < 50
    margin = (0.2 if few else 0.04) * (high - low) or 1.0
    limits = (low - margin, high + margin)
    axes.plot(limits, limits, color=GREY, linewidth=0.8, zorder=0)
    if len(reference) > 5000:
        hexagons = axes.hexbin(
            reference, predicted, gridsize=90, extent=(*limits, *limits), norm=LogNorm(), cmap="viridis", linewidths=0.1
        )
        axes.figure.colorbar(hexagons, ax=axes, label="count")
    else:
        axes.scatter(reference, predicted, s=40 if few else 8, color=BLUE, alpha=0.6, linewidths=0)
    axes.set(xlim=limits, ylim=limits, aspect="equal")


def plot_parity(
    predictions: Predictions,
    energy_zero: Tensor | None,
    path: Path,
    heading: str,
    units: Mapping[str, str] | None = None,
) -> None:
    """Write the picture of :func:`draw_parity`.

    Args:
        predictions: Predicted and reference values.
        energy_zero: What is subtracted from the energy of each structure, in eV.
        path: The picture to write.
        heading: What the structures are, for instance "1000 test structures".
        units: Units of the other outputs by name.
    """
    write_picture(path, draw_parity(predictions, energy_zero, heading, units).savefig)


def draw_parity(
    predictions: Predictions, energy_zero: Tensor | None, heading: str, units: Mapping[str, str] | None = None
) -> Figure:
    """Predicted against reference values.

    Args:
        predictions: Predicted and reference values.
        energy_zero: What is subtracted from the energy of each structure, in eV: the energy that its composition has by
            a fit; without it all points of one molecule would lie at -4000 eV.
        heading: What the structures are, for instance "1000 test structures".
        units: Units of the other outputs by name.

    Returns:
        The picture.

    Units:
        eV/A, meV/atom and meV/A^3 on the axes, and those of the other outputs.
    """
    panels = _energy_panels(predictions, energy_zero)
    for name, errors in compute_errors(predictions, units).outputs.items():
        title = f"{name}, MAE {errors.mae:.4g} {errors.unit}".rstrip()
        panels.append((title, errors.unit, predictions.others_ref[name], predictions.others[name]))
    figure, grid = new_figure(len(panels))
    for axes, (quantity, unit, reference, predicted) in zip(grid, panels, strict=True):
        known = ~reference.isnan()
        if bool(known.any()):
            _parity_panel(axes, reference[known].numpy(), predicted[known].numpy())
        axes.set(xlabel=f"reference ({unit})" if unit else "reference", ylabel=f"predicted ({unit})".replace(" ()", ""))
        axes.set_title(quantity, fontsize=10)
    figure.suptitle(heading)
    return figure


def _energy_panels(predictions: Predictions, energy_zero: Tensor | None) -> list[tuple[str, str, Tensor, Tensor]]:
    """Title, unit, references and predictions of forces, energy and stress, as far as there are references."""
    found = compute_errors(predictions)
    panels: list[tuple[str, str, Tensor, Tensor]] = []
    forces, forces_ref = predictions.forces, predictions.forces_ref
    energy, energy_ref = predictions.energy, predictions.energy_ref
    if found.forces_mae_meV_per_A is not None and forces is not None and forces_ref is not None:
        panels.append((f"force components, MAE {found.forces_mae_meV_per_A:.1f} meV/A", "eV/A", forces_ref, forces))
    if found.energy_mae_meV_per_atom is not None and energy is not None and energy_ref is not None:
        zero, num_atoms = energy_zero, predictions.num_atoms.clamp(min=1)
        assert zero is not None
        title = f"energy above a fit to the compositions,\nMAE {found.energy_mae_meV_per_atom:.2f} meV/atom"
        reference, predicted = (1e3 * (values - zero) / num_atoms for values in (energy_ref, energy))
        panels.append((title, "meV/atom", reference, predicted))
    stress, stress_ref = predictions.stress, predictions.stress_ref
    if found.stress_mae_meV_per_A3 is not None and stress is not None and stress_ref is not None:
        title = f"stress components, MAE {found.stress_mae_meV_per_A3:.2f} meV/A$^3$\n= {found.stress_mae_GPa:.3f} GPa"
        panels.append((title, "meV/A$^3$", 1e3 * stress_ref, 1e3 * stress))
    return panels


def plot_learning_curve(history: History, path: Path, units: Mapping[str, str] | None = None) -> None:
    """Write the picture of :func:`draw_learning_curve`.

    Args:
        history: The rows of metrics.csv.
        path: The picture to write.
        units: Units of the other outputs by name.
    """
    write_picture(path, draw_learning_curve(history, units).savefig)


def draw_learning_curve(history: History, units: Mapping[str, str] | None = None) -> Figure:
    """Errors after each epoch, on logarithmic axes.

    Args:
        history: The rows of metrics.csv.
        units: Units of the other outputs by name.

    Returns:
        The picture.

    Units:
        meV/A and meV/atom on the axes, and those of the other outputs.
    """
    epoch = np.array([row["epoch"] for row in history])
    best = min(range(len(history)), key=lambda row: history[row]["valid_score"])
    raised = [row["epoch"] for row in history if row["energy_weight"] != history[0]["energy_weight"]]
    panels = [
        (f"{name}_{{}}_{unit}", f"{'force' if name == 'forces' else name} error ({unit.replace('_per_', '/')})")
        for name, unit in (("forces", "meV_per_A"), ("energy", "meV_per_atom"))
    ]
    panels += [(f"{name}_{{}}", f"{name} error ({unit})".replace(" ()", "")) for name, unit in (units or {}).items()]
    panels = [panel for panel in panels if f"valid_{panel[0].format('mae')}" in history[-1]]
    figure, grid = new_figure(len(panels))
    for axes, (column, label) in zip(grid, panels, strict=True):
        for part, kind, color, style, text in (
            ("train", "rmse", GREY, "-", "training RMSE"),
            ("train", "mae", GREY, "-.", "training MAE"),
            ("valid", "rmse", BLUE, "--", "validation RMSE (averaged weights)"),
            ("valid", "mae", BLUE, "-", "validation MAE (averaged weights)"),
        ):
            name = f"{part}_{column.format(kind)}"
            if name not in history[-1]:
                continue
            values = np.array([row.get(name, np.nan) for row in history])
            marker = "o" if len(history) == 1 else None
            axes.plot(epoch, values, color=color, linestyle=style, marker=marker, linewidth=1.2, label=text)
        axes.plot(epoch[best], values[best], "o", color=ORANGE, label=f"best.ckpt: MAE {values[best]:.4g}")
        if raised and column.startswith(("forces_", "energy_")):
            axes.axvline(raised[0], color=GREY, linestyle=":", linewidth=0.9, label="energy weight raised")
        axes.set(xlabel="epoch", ylabel=label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if not (values[np.isfinite(values)] > 0).any():  # nothing to draw on a logarithmic axis
            axes.legend(fontsize="small")
            continue
        axes.set_yscale("log")
        axes.yaxis.set_minor_locator(LogLocator(subs=(2.0, 5.0)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("{x:g}")
        axes.grid(alpha=0.25, which="both", linewidth=0.5)
        axes.legend(fontsize=7)
    figure.suptitle(f"{len(history)} epochs, {history[-1]['minutes']:.1f} minutes")
    return figure


def draw_structure(frame: Data, marked: int | None = None) -> Figure:
    """A structure as ASE draws it, in the colours of its elements.

    Args:
        frame: The structure.
        marked: An atom to draw in magenta.

    Returns:
        The picture.
    """
    from ase.data.colors import jmol_colors
    from ase.visualize.plot import plot_atoms

    figure = Figure(figsize=(2.4, 2.2), layout="constrained", dpi=110)
    FigureCanvasAgg(figure)
    atoms = to_atoms(frame)
    colors = jmol_colors[atoms.numbers]
    if marked is not None:
        colors[marked] = MAGENTA
    plot_atoms(atoms, figure.subplots(), rotation="10x,20y,0z", radii=0.8, colors=colors)
    return figure
