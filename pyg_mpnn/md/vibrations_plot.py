"""The picture of vibrations: a stick for each frequency."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pyg_mpnn.files import write_picture

try:
    from matplotlib.figure import Figure
except ImportError as error:
    raise ImportError(
        'pyg_mpnn.md.vibrations_plot needs matplotlib; install it with: pip install "pyg_mpnn[md]"'
    ) from error

__all__ = ["plot_frequencies"]


def plot_frequencies(path: Path, frequencies: np.ndarray, hydrogen: np.ndarray | None, title: str) -> None:
    """Draw a stick at each frequency.

    Args:
        path: of the picture.
        frequencies: in cm^-1, imaginary ones negative.
        hydrogen: share of hydrogen in the kinetic energy of each mode, the height of the stick; all sticks have height
            1 where None.
        title: of the picture.
    """
    figure = Figure(figsize=(7.5, 3.2), layout="constrained")
    panel = figure.subplots()
    heights = np.ones_like(frequencies) if hydrogen is None else hydrogen
    real = frequencies >= 0
    for chosen, color, name in ((real, "C0", "real"), (~real, "C3", "imaginary")):
        if chosen.any():
            panel.vlines(frequencies[chosen], 0, heights[chosen], color=color, lw=1.6, label=f"{chosen.sum()} {name}")
            panel.plot(frequencies[chosen], heights[chosen], "o", color=color, ms=4)
    panel.set(xlabel="frequency (cm$^{-1}$), imaginary ones negative", ylim=(0, 1.08))
    panel.set_ylabel("modes" if hydrogen is None else "share of H in the\nkinetic energy")
    if hydrogen is None:
        panel.set_yticks([])
    panel.axvline(0, color="0.6", lw=0.8)
    panel.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1.01, 1.0))
    panel.set_title(title, fontsize="medium")
    write_picture(path, figure.savefig, dpi=120)
