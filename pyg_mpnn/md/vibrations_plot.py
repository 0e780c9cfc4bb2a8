"""The picture of vibrations: sticks by the share of hydrogen, or a density of states."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pyg_mpnn.files import write_picture
from pyg_mpnn.md.vibrational_density import broadened

try:
    from matplotlib.figure import Figure
except ImportError as error:
    raise ImportError(
        'pyg_mpnn.md.vibrations_plot needs matplotlib; install it with: pip install "pyg_mpnn[md]"'
    ) from error

__all__ = ["plot_frequencies"]


def plot_frequencies(path: Path, frequencies: np.ndarray, hydrogen: np.ndarray | None, title: str) -> None:
    """Draw the frequencies: by the share of hydrogen where it tells modes apart, else as a density of states.

    Sticks of equal height fall onto each other where many modes lie close, as those of a crystal do: 45 modes look like
    7. Their density, each broadened by a Gaussian, counts them.

    Args:
        path: of the picture.
        frequencies: in cm^-1, imaginary ones negative.
        hydrogen: share of hydrogen in the kinetic energy of each mode, the height of its stick; the density of states
            is drawn where None, with a short stick at each frequency.
        title: of the picture.
    """
    figure = Figure(figsize=(7.5, 3.2), layout="constrained")
    panel = figure.subplots()
    top = 1.0
    if hydrogen is None:
        width = max(5.0, 0.015 * float(np.ptp(frequencies)))
        wavenumbers, density = broadened(frequencies, width)
        panel.fill_between(wavenumbers, density, color="C0", alpha=0.25, lw=0)
        label = f"density, broadened\nby {width:.2g} cm$^{{-1}}$"
        panel.plot(wavenumbers, density, color="C0", lw=1.2, label=label)
        top = float(density.max())
    heights = np.full_like(frequencies, 0.07 * top) if hydrogen is None else hydrogen
    real = frequencies >= 0
    for chosen, color, name in ((real, "k" if hydrogen is None else "C0", "real"), (~real, "C3", "imaginary")):
        if chosen.any():
            panel.vlines(frequencies[chosen], 0, heights[chosen], color=color, lw=1.6, label=f"{chosen.sum()} {name}")
            if hydrogen is not None:
                panel.plot(frequencies[chosen], heights[chosen], "o", color=color, ms=4)
    panel.set(xlabel="frequency (cm$^{-1}$), imaginary ones negative", ylim=(0, 1.08 * top))
    panel.set_ylabel("modes per cm$^{-1}$" if hydrogen is None else "share of H in the\nkinetic energy")
    panel.axvline(0, color="0.6", lw=0.8)
    panel.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1.01, 1.0))
    panel.set_title(title, fontsize="medium")
    write_picture(path, figure.savefig, dpi=120)
