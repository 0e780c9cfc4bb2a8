"""The picture of a dynamics: energies and temperature over time."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pyg_mpnn.files import write_picture
from pyg_mpnn.md.drift import EnergyDrift
from pyg_mpnn.md.recorder import DynamicsLog

try:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
except ImportError as error:
    raise ImportError('pyg_mpnn.md.plot needs matplotlib; install it with: pip install "pyg_mpnn[md]"') from error

__all__ = ["plot_energy_drift"]


def plot_energy_drift(path: Path, log: DynamicsLog, drift: EnergyDrift | None, temperature: float, title: str) -> None:
    """Draw the energies and the temperature of a dynamics over time.

    The first panel shows how potential and kinetic energy exchange what the total keeps, the second the total alone,
    enlarged, with the line fitted to it, the third the temperature.

    Args:
        path: of the picture.
        log: of the dynamics.
        drift: of the total energy, in meV/atom/ps and meV/atom; None with a thermostat, for then the total energy is
            not meant to stay and the second panel is left out.
        temperature: asked for, in K.
        title: of the picture.
    """
    time, total = log.time, log.potential + log.kinetic
    figure = Figure(figsize=(7.5, 7.5 if drift else 5.5), layout="constrained")
    panels = figure.subplots(3 if drift else 2, sharex=True, height_ratios=[3, 2, 2] if drift else [3, 2])
    curves = [(log.potential, "potential", "C0"), (log.kinetic, "kinetic", "C1"), (total, "total", "k")]
    for values, name, color in curves:
        panels[0].plot(time, values - values[0], color, lw=0.8, label=name)
    panels[0].set_ylabel("energy - start (meV/atom)")
    if drift:
        _draw_total(panels[1], time, total, drift)
    second_half = time >= time[-1] / 2
    mean = log.temperature[second_half].mean()
    panels[-1].plot(time, log.temperature, "C3", lw=0.8)
    panels[-1].axhline(temperature, color="0.5", ls="--", lw=1.2, label=f"asked for: {temperature:g} K")
    ends = time[second_half][[0, -1]]
    panels[-1].plot(ends, [mean, mean], "k", lw=1.6, label=f"mean of the last half: {mean:.0f} K")
    panels[-1].set(xlabel="time (ps)", ylabel="temperature (K)", xlim=(time[0], time[-1]))
    for panel in panels:
        panel.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, fontsize="small")
    panels[0].set_title(title, fontsize="medium")
    write_picture(path, figure.savefig, dpi=120)


def _draw_total(panel: Axes, time: np.ndarray, total: np.ndarray, drift: EnergyDrift) -> None:
    line = total.mean() + drift.slope * (time - time.mean())
    panel.plot(time, total - total[0], "k", lw=0.5, label=f"total, RMS fluctuation\n{drift.fluctuation:.2g} meV/atom")
    panel.plot(
        time,
        line - total[0],
        "C2",
        lw=1.6,
        label=f"drift {drift.slope:.2g} $\\pm$ {drift.slope_error:.1g}\nmeV/atom/ps",
    )
    panel.set_ylabel("total - start\n(meV/atom)")
