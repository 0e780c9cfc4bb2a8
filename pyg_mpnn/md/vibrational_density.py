"""Density of vibrational states: of a dynamics from its velocities, of normal modes from their frequencies."""

from __future__ import annotations

import numpy as np
from ase import units
from jaxtyping import Float

__all__ = ["broadened", "vibrational_density"]

_PER_PS = 1e12 / (units._c * 100)  # 1/ps as a wavenumber in cm^-1


def vibrational_density(
    velocities: Float[np.ndarray, "frames nodes 3"],
    masses: Float[np.ndarray, " nodes"],
    spacing: float,
    width: float,
) -> tuple[Float[np.ndarray, " bins"], Float[np.ndarray, " bins"]]:
    r"""Density of vibrational states from the autocorrelation of the velocities.

    .. math:: g(\nu) \propto \int \sum_i m_i \langle \mathbf{v}_i(0) \cdot \mathbf{v}_i(t) \rangle
              e^{-2 \pi i \nu t} \, dt \; * \; e^{-\nu^2 / 2 \sigma^2}

    The Fourier transform of the autocorrelation is the power spectrum of the velocities (Wiener and Khinchin), which is
    taken with a Hann window and then broadened by a Gaussian. Normalised so that its integral is 3 for each atom: every
    mode counts once, by equipartition.

    Args:
        velocities: evenly in time.
        masses: of the atoms.
        spacing: time from one frame to the next.
        width: full width of the Gaussian at half its height; 0 for none.

    Returns:
        Wavenumbers up to half the sampling rate, and the density at each.

    Shapes:
        velocities (frames, nodes, 3), masses (nodes,), results (bins,).

    Units:
        velocities in any, spacing in ps, wavenumbers and width in cm^-1, density in modes per cm^-1.

    Source:
        J. M. Dickey and A. Paskin, Phys. Rev. 188, 1407 (1969).
    """
    frames, nodes = velocities.shape[:2]
    window = np.hanning(frames)[:, None, None]
    size = 2 * frames
    power = np.zeros(size // 2 + 1)
    for atom in range(nodes):  # one after the other: the spectra of all are as large as the trajectory
        spectrum = np.fft.rfft(window[:, 0] * velocities[:, atom], n=size, axis=0)
        power += masses[atom] * (np.abs(spectrum) ** 2).sum(axis=1)
    wavenumbers = np.fft.rfftfreq(size, spacing) * _PER_PS
    step = wavenumbers[1]
    if width > 0:
        # the negative side is folded back: a Gaussian over zero must not lose what lies there
        both = np.concatenate([power[:0:-1], power])
        reach = int(np.ceil(2 * width / step))
        kernel = np.exp(-4 * np.log(2) * (step * np.arange(-reach, reach + 1) / width) ** 2)
        power = np.convolve(both, kernel / kernel.sum(), mode="same")[len(power) - 1 :]
    return wavenumbers, power * 3 * nodes / (power.sum() * step)


def broadened(
    frequencies: Float[np.ndarray, " modes"], width: float, points: int = 800
) -> tuple[Float[np.ndarray, " bins"], Float[np.ndarray, " bins"]]:
    r"""Density of states of normal modes, each a Gaussian of area 1.

    .. math:: g(\nu) = \sum_k \frac{1}{\sigma \sqrt{2 \pi}} e^{-(\nu - \nu_k)^2 / 2 \sigma^2}

    Args:
        frequencies: of the modes; imaginary ones negative.
        width: full width of the Gaussian at half its height.
        points: number of wavenumbers.

    Returns:
        Wavenumbers, and the density at each.

    Shapes:
        frequencies (modes,), results (bins,).

    Units:
        cm^-1, modes per cm^-1.

    Source:
        definition.
    """
    sigma = width / np.sqrt(8 * np.log(2))
    wavenumbers = np.linspace(min(0.0, frequencies.min()) - 4 * sigma, frequencies.max() + 4 * sigma, points)
    distances = (wavenumbers[:, None] - frequencies) / sigma
    return wavenumbers, np.exp(-0.5 * distances**2).sum(axis=1) / (sigma * np.sqrt(2 * np.pi))
