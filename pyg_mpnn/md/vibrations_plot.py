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

__all__ = ["plot_frequencies", "plot_infrared"]

WIDTH = 20.0  # of a band at half its height, in cm^-1


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


def plot_infrared(path: Path, frequencies: np.ndarray, intensities: np.ndarray, title: str) -> None:
    """Draw an infrared spectrum: a stick for each mode with its intensity, and bands of Lorentzians.

    Imaginary frequencies are left out; the title counts them.

    Args:
        path: of the picture.
        frequencies: in cm^-1, imaginary ones negative.
        intensities: of the modes, in km/mol.
        title: of the picture.
    """
    real = frequencies > 0
    frequencies, intensities = frequencies[real], intensities[real]
    figure = Figure(figsize=(7.5, 3.2), layout="constrained")
    panel = figure.subplots()
    wavenumbers = np.linspace(0, 1.05 * frequencies.max(initial=1000.0) + 10 * WIDTH, 4000)
    half = WIDTH / 2
    bands = intensities * half / np.pi / ((wavenumbers[:, None] - frequencies) ** 2 + half**2)
    panel.plot(wavenumbers, bands.sum(axis=1), color="C0", lw=1.2)
    panel.set(xlabel="wavenumber (cm$^{-1}$)", xlim=(wavenumbers[-1], 0), ylim=(0, None))
    panel.set_ylabel("absorption\n(km/mol per cm$^{-1}$)", color="C0")
    sticks = panel.twinx()
    sticks.vlines(frequencies, 0, intensities, color="C1", lw=1.6)
    sticks.set(ylim=(0, 3 * intensities.max(initial=1e-9)))  # the sticks stay below the bands
    sticks.set_ylabel("intensity (km/mol)", color="C1")
    title += f", bands {WIDTH:g} cm$^{{-1}}$ wide"
    panel.set_title(title if real.all() else f"{title}; {(~real).sum()} imaginary left out", fontsize="medium")
    write_picture(path, figure.savefig, dpi=120)
