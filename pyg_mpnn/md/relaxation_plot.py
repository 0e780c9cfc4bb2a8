"""The picture of a relaxation: energy and largest force against the step."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pyg_mpnn.files import write_picture

try:
    from matplotlib.figure import Figure
except ImportError as error:
    raise ImportError(
        'pyg_mpnn.md.relaxation_plot needs matplotlib; install it with: pip install "pyg_mpnn[md]"'
    ) from error

__all__ = ["plot_relaxation"]


def plot_relaxation(path: Path, rows: np.ndarray, fmax: float, title: str) -> None:
    """Draw energy, largest force and, where the cell moved, largest stress against the step.

    Args:
        path: of the picture.
        rows: step, energy in eV, largest force in eV/A and, where the cell moved, largest stress in GPa.
        fmax: force that counts as none, in eV/A.
        title: of the picture.
    """
    steps, energy, forces = rows[:, 0], rows[:, 1], rows[:, 2]
    figure = Figure(figsize=(6.5, 5.5), layout="constrained")
    above, below = figure.subplots(2, sharex=True)
    style = {"marker": "o", "ms": 3, "lw": 1.0}
    above.plot(steps, 1000 * (energy - energy[-1]), "k", **style)
    # logarithmic but linear near zero: energies may rise on the way, above or below the last one
    above.set_yscale("symlog", linthresh=0.1)
    above.set_ylabel("energy - last (meV)")
    above.set_title(title, fontsize="medium")
    below.semilogy(steps, forces, "C3", label="largest force (eV/A)", **style)
    if rows.shape[1] > 3:
        below.semilogy(steps, rows[:, 3], "C0", label="largest stress (GPa)", **style)
    below.axhline(fmax, color="0.5", ls="--", lw=1.2, label=f"fmax: {fmax:g} eV/A")
    below.set(xlabel="step", ylabel="force, stress")
    below.legend(frameon=False, fontsize="small")
    write_picture(path, figure.savefig, dpi=120)
