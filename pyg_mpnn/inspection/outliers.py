"""Frames whose energy or forces stand apart from all others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch_geometric.data import Data

from pyg_mpnn.data.reference import fit_energies
from pyg_mpnn.inspection.finding import Finding

__all__ = ["check_outliers"]

FEWEST = 20  # frames
SHARE = 0.02  # of the frames: a larger group is not a mistake but a part of the data
GAP = 3.0  # interquartile ranges
STRONG = 3.0  # times the median of the largest forces


def check_outliers(frames: Sequence[Data]) -> Finding:
    """Look for frames whose energy per atom, or largest force, is cut off from the others by a wide gap.

    Energies are those that the composition does not explain. A gap is one of three interquartile ranges with at most
    2% of the frames behind it: data may be broad and have tails, as those of crystals, surfaces and liquids together.
    High energies with large forces are steep places and only noted; what one of the two does not explain of the other
    is a warning.

    Args:
        frames: structures with energies; forces where there are any.

    Returns:
        The finding; the numbers have the frames.

    Source:
        own design, so that it is silent on rMD17 and on mlearn's Li and Si, and finds one wrong energy in them.
    """
    name = "outliers"
    if len(frames) < FEWEST:
        return Finding(name, "note", f"Cannot tell: {len(frames)} frames, {FEWEST} are needed.")
    energies = _residuals(frames)
    odd = {"energy": _cut_off(energies)}
    strongest = None
    if all("forces" in frame for frame in frames):
        strongest = np.array([float(frame.forces.double().norm(dim=1).max()) for frame in frames])
        odd["force"] = [k for k in _cut_off(strongest) if strongest[k] > np.median(strongest)]
    middle, spread = float(np.median(energies)), float(np.subtract(*np.quantile(energies, [0.75, 0.25])))
    steep = set() if strongest is None else set(np.flatnonzero(strongest > STRONG * np.median(strongest)).tolist())
    high = set(np.flatnonzero(energies > middle + GAP * spread).tolist())
    wrong = {
        "energy": [k for k in odd["energy"] if not (k in steep and energies[k] > middle)],
        "force": [k for k in odd.get("force", []) if k not in high],
    }
    numbers: dict[str, object] = {f"frames_with_odd_{label}": found for label, found in odd.items()}
    numbers["energy_interquartile_eV_per_atom"] = spread
    if strongest is not None:
        numbers["largest_force_eV_per_A"] = float(strongest.max())
    texts = []
    for label, found in wrong.items():
        if found:
            values = energies - middle if label == "energy" else strongest
            assert values is not None
            listed = ", ".join(f"frame {k} ({values[k]:.3g})" for k in found[:5]) + (", ..." if len(found) > 5 else "")
            unit = "energy in eV/atom from the median" if label == "energy" else "largest force in eV/A"
            texts.append(f"{len(found)} frames stand apart by their {label} alone: {listed}, {unit}.")
    if texts:
        return Finding(name, "warning", " ".join([*texts, "Recompute or remove them."]), numbers)
    if any(odd.values()):
        count = len(set(odd["energy"]) | set(odd.get("force", [])))
        text = f"{count} frames have far higher energies and forces than the others; steep places, not contradictions."
        return Finding(name, "note", text, numbers)
    return Finding(name, "ok", "No frame stands apart by its energy or its largest force.", numbers)


def _residuals(frames: Sequence[Data]) -> np.ndarray:
    """Energies per atom that the composition does not explain, fitted twice: the second time without the wildest 5%."""
    sizes = np.array([max(frame.z.numel(), 1) for frame in frames])
    chosen = list(range(len(frames)))
    for _ in range(2):
        reference, _ = fit_energies([frames[k] for k in chosen], {})
        left = np.array(
            [float(frame.energy) - sum(reference.get(z, 0.0) for z in frame.z.tolist()) for frame in frames]
        )
        residuals: np.ndarray = left / sizes
        known = {int(z) for k in chosen for z in frames[k].z.unique()}
        far = np.abs(residuals - np.median(residuals))
        near = np.flatnonzero(far <= np.quantile(far, 0.95)).tolist()
        if {int(z) for k in near for z in frames[k].z.unique()} != known:
            break  # an element would be lost
        chosen = near
    return residuals


def _cut_off(values: np.ndarray) -> list[int]:
    """Indices behind the widest gap at either end, where it is wide enough."""
    order = np.argsort(values)
    most = max(1, int(SHARE * len(values)))
    spread = float(np.subtract(*np.quantile(values, [0.75, 0.25])))
    least = max(GAP * spread, 1e-6)
    found: list[int] = []
    for ends in (order[::-1], order):
        gaps = np.abs(np.diff(values[ends[: most + 1]]))
        wide = np.flatnonzero(gaps > least)
        if len(wide):
            found += ends[: wide[-1] + 1].tolist()
    return sorted(found)
