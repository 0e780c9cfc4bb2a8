"""The picture of what a trajectory says of structure and motion."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pyg_mpnn.files import write_picture
from pyg_mpnn.md.drift import with_error

try:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
except ImportError as error:
    raise ImportError(
        'pyg_mpnn.md.observables_plot needs matplotlib; install it with: pip install "pyg_mpnn[md]"'
    ) from error

__all__ = ["plot_observables"]


def plot_observables(path: Path, numbers: dict[str, Any], title: str) -> None:
    """Draw a panel for each of g(r), the mean squared displacement and the vibrational density of states.

    Args:
        path: of the picture.
        numbers: of :class:`~pyg_mpnn.md.observables.Observables`, at least one of them.
        title: of the picture.
    """
    draw: dict[str, Callable[[Axes, dict[str, Any]], None]] = {
        "pair_distribution": _draw_pairs,
        "mean_squared_displacement": _draw_displacement,
        "vibrational_density": _draw_density,
    }
    chosen = [name for name in draw if name in numbers]
    figure = Figure(figsize=(7.5, 0.5 + 2.9 * len(chosen)), layout="constrained")
    panels = np.atleast_1d(figure.subplots(len(chosen)))
    for panel, name in zip(panels, chosen, strict=True):
        draw[name](panel, numbers[name])
        if panel.get_legend_handles_labels()[0]:
            panel.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1.01, 1.0))
    panels[0].set_title(title, fontsize="medium")
    write_picture(path, figure.savefig, dpi=120)


def _draw_pairs(panel: Axes, numbers: dict[str, Any]) -> None:
    for name, curves in numbers["pairs"].items():
        panel.plot(numbers["r_A"], curves["g"], lw=1.2, label=name)
    panel.axhline(1.0, color="0.6", lw=0.8)
    panel.set(xlabel="r (A)", ylabel="g(r)", xlim=(0, numbers["r_A"][-1]), ylim=(0, None))


def _draw_displacement(panel: Axes, numbers: dict[str, Any]) -> None:
    for element, of in numbers["elements"].items():
        text = "no diffusion within its error"
        if of["diffusion_seen"]:
            value, error = 10 * of["D_A2_per_ps"], 10 * of["D_error_A2_per_ps"]
            text = f"D = ({with_error(value, error)})\n10$^{{-5}}$ cm$^2$/s".replace("+-", "$\\pm$")
        panel.plot(numbers["lag_ps"], of["msd_A2"], lw=1.2, label=f"{element}: {text}")
    panel.set(xlabel="lag (ps)", ylabel="mean squared\ndisplacement (A$^2$)", xlim=(0, None), ylim=(0, None))


def _draw_density(panel: Axes, numbers: dict[str, Any]) -> None:
    wavenumbers, density = np.array(numbers["wavenumber_per_cm"]), np.array(numbers["modes_per_cm"])
    seen = np.flatnonzero(density > 1e-2 * density.max())[-1]
    panel.plot(wavenumbers, density, "C2", lw=1.2, label=f"broadened by\n{numbers['width_per_cm']:.3g} cm$^{{-1}}$")
    panel.set(xlim=(0, 1.05 * wavenumbers[seen]), ylim=(0, None))
    panel.set(xlabel="wavenumber (cm$^{-1}$)", ylabel="vibrational density\nof states (modes per cm$^{-1}$)")
