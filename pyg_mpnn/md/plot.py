"""The picture of a dynamics: energies and temperature over time."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pyg_mpnn.files import write_picture
from pyg_mpnn.md.drift import EnergyDrift, block_mean, settled, with_error
from pyg_mpnn.md.recorder import DynamicsLog

try:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
except ImportError as error:
    raise ImportError('pyg_mpnn.md.plot needs matplotlib; install it with: pip install "pyg_mpnn[md]"') from error

__all__ = ["plot_energy_drift"]


def plot_energy_drift(
    path: Path, log: DynamicsLog, drift: EnergyDrift | None, temperature: float, title: str, pressure: float = 0.0
) -> None:
    """Draw the energies and the temperature of a dynamics over time.

    The first panel shows how potential and kinetic energy exchange what the total keeps, the second what is conserved
    alone, enlarged, with the line fitted to it, the third the temperature. Where the cell moves, two more have its
    volume and the pressure.

    Args:
        path: of the picture.
        log: of the dynamics.
        drift: of what is conserved, in meV/atom/ps and meV/atom; None where nothing is, and the second panel is left
            out.
        temperature: asked for, in K.
        title: of the picture.
        pressure: asked for, in GPa.
    """
    time, total = log.time, log.potential + log.kinetic
    heights = [3, *([2] if drift else []), 2, *([2, 2] if log.volume is not None else [])]
    figure = Figure(figsize=(8.5, 1.0 + 1.1 * sum(heights)), layout="constrained")
    panels = list(figure.subplots(len(heights), sharex=True, height_ratios=heights))
    panels[0].set_title(title, fontsize="medium")
    panels[-1].set(xlabel="time (ps)", xlim=(time[0], time[-1]))
    panel = panels.pop(0)
    curves = [(log.potential, "potential", "C0"), (log.kinetic, "kinetic", "C1"), (total, "total", "k")]
    for values, name, color in curves:
        panel.plot(time, values - values[0], color, lw=0.8, label=name)
    panel.set_ylabel("energy - start\n(meV/atom)")
    _legend(panel)
    if drift:
        name = "total" if log.conserved is None else "conserved"
        _draw_conserved(panels.pop(0), time, total if log.conserved is None else log.conserved, drift, name)
    _draw_around(panels.pop(0), log, log.temperature, "temperature", "K", temperature, "C3")
    if log.volume is not None and log.pressure is not None:
        _draw_around(panels.pop(0), log, log.volume, "volume", "A$^3$", None, "C4")
        _draw_around(panels.pop(0), log, log.pressure, "pressure", "GPa", pressure, "C5")
    write_picture(path, figure.savefig, dpi=120)


def _draw_around(
    panel: Axes, log: DynamicsLog, values: np.ndarray, name: str, unit: str, wanted: float | None, color: str
) -> None:
    """A quantity, its mean over the last half, and what was asked for."""
    time, half = log.time, log.time >= log.time[-1] / 2
    mean, error = block_mean(values[half])
    panel.plot(time, values, color, lw=0.8)
    if wanted is not None:
        panel.axhline(wanted, color="0.5", ls="--", lw=1.2, label=f"asked for: {wanted:g} {unit}")
    ends = time[half][[0, -1]]
    found = (
        f"{_pm(with_error(mean, error))} {unit}"
        if settled(time[half], values[half])
        else f"{mean:.3g} {unit}, not settled"
    )
    panel.plot(ends, [mean, mean], "k", lw=1.6, label=f"mean of the last half:\n{found}")
    panel.set_ylabel(f"{name} ({unit})")
    _legend(panel)


def _draw_conserved(panel: Axes, time: np.ndarray, kept: np.ndarray, drift: EnergyDrift, name: str) -> None:
    line = kept.mean() + drift.slope * (time - time.mean())
    label = f"{name}, RMS fluctuation\n{drift.fluctuation:.2g} meV/atom"
    panel.plot(time, kept - kept[0], "k", lw=0.5, label=label)
    words = _pm(drift.in_words()).replace(": ", ":\n").replace(" by ", "\nby ")
    panel.plot(time, line - kept[0], "C2", lw=1.6, label=words)
    panel.set_ylabel(f"{name} - start\n(meV/atom)")
    _legend(panel)


def _legend(panel: Axes) -> None:
    panel.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, fontsize="small")


def _pm(words: str) -> str:
    return words.replace("+-", "$\\pm$")
