"""The picture of the crystals benchmark: what the potential says of strained diamond, with the reference's points."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.polynomial import Polynomial
from numpy.typing import ArrayLike, NDArray

from benchmarks.periodic.elastic import TINY, Strained


def draw(
    path: Path, reference: Sequence[Strained], predicted: Sequence[Strained], volume: float, own: dict[str, Any]
) -> None:
    """Equation of state (all volumes, isotropic and uniaxial), energy of shear, stress of uniaxial strain.

    Energies are relative to the unstrained cell of the reference, for potential and reference alike: an error in the
    absolute energy is seen in the first panel as a shift.
    """
    figure = Figure(figsize=(13, 4.3), layout="constrained")
    states, shear, stress = figure.subplots(1, 3)
    (e, energy, along, across), (e_model, energy_model, *stresses_model) = map(uniaxial, (reference, predicted))
    zero = energy[np.abs(e).argmin()]
    x, isotropic = smooth(own["volumes_A3_per_atom"], 1e3 * (np.array(own["energies_eV_per_atom"]) - zero))
    states.plot(x, isotropic, "C0", label="all lengths changed: potential")
    x, stretched = smooth(volume * np.sqrt(1 + 2 * e_model), 1e3 * (energy_model - zero))
    states.plot(x, stretched, "C1", label="one length changed: potential")
    states.plot(volume * np.sqrt(1 + 2 * e), 1e3 * (energy - zero), "ko", mfc="none", label="the same: reference")
    states.plot(volume, 0.0, "ks", label="unstrained: reference")
    states.set(xlabel="volume (A$^3$/atom)", ylabel="energy (meV/atom)", title="equation of state")
    g, values = sheared(predicted)
    shear.plot(*smooth(g, 1e3 * (values - zero)), "C1", label="potential")
    g, values = sheared(reference)
    shear.plot(g, 1e3 * (values - zero), "ko", mfc="none", label="reference")
    shear.set(xlabel="strain $E_{xy}$", ylabel="energy (meV/atom)", title="one angle changed, atoms not relaxed")
    for points, model, color, label in zip(
        (along, across), stresses_model, ("C1", "C2"), ("along", "across"), strict=True
    ):
        stress.plot(*smooth(e_model, model), color, label=f"{label}: potential")
        stress.plot(e, points, "o", color=color, mfc="none", label=f"{label}: reference")
    stress.set(xlabel="strain $E_{xx}$", ylabel="stress (second Piola-Kirchhoff, GPa)", title="one length changed")
    for axes in (states, shear, stress):
        axes.legend(frameon=False, fontsize="small")
    figure.suptitle("Diamond Si: potential (lines) and the reference set's own frames (points, PBE)")
    figure.savefig(path, dpi=110)


def smooth(x: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points of the polynomial of degree 6 through points of the potential, which is smooth: for the eye."""
    line = np.linspace(np.min(x), np.max(x), 100)
    return line, Polynomial.fit(x, y, 6)(line)


def uniaxial(samples: Sequence[Strained]) -> tuple[np.ndarray, ...]:
    """Strain, energy, stress along and across of the cells strained in at most one length, sorted."""
    rows = []
    for strain, energy, stress in samples:
        if np.abs(strain[np.triu_indices(3, 1)]).max() < TINY:
            axis = int(np.abs(np.diag(strain)).argmax())
            rows.append((strain[axis, axis], energy, stress[axis, axis], np.delete(np.diag(stress), axis).mean()))
    return tuple(np.array(sorted(rows)).T)


def sheared(samples: Sequence[Strained]) -> tuple[np.ndarray, ...]:
    """Strain and energy of the cells strained in one angle, sorted."""
    rows = []
    for strain, energy, _ in samples:
        off = strain[np.triu_indices(3, 1)]
        if np.abs(np.diag(strain)).max() < TINY:
            rows.append((off[np.abs(off).argmax()], energy))
    return tuple(np.array(sorted(rows)).T)
