"""Do energies, forces and stresses belong together?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch_geometric.data import Data

from pyg_mpnn.inspection.finding import Finding, Severity
from pyg_mpnn.inspection.pairs import ENERGY_OVER_FORCE, ENERGY_OVER_STRESS, Slope, fit_slope, name_factor, near_pairs

__all__ = ["check_consistency", "check_stress"]


NEAR = 0.45  # A, root mean square: beyond, the energy between two frames is far from quadratic
FEWEST = 5
WILD = 25.0  # times the median deviation of near pairs; up to 15 in rMD17 and mlearn's Li and Si
WITHIN = 1.3  # the nearest other factors are 0.53 and 1.89 (bohr)


def check_consistency(frames: Sequence[Data]) -> Finding:
    r"""Compare energy differences between near frames with the work of their forces.

    .. math:: E_2 - E_1 = -a \, \tfrac{1}{2} (F_1 + F_2) \cdot (r_2 - r_1)

    The factor a, fitted to the nearest quarter of the pairs of frames, is 1 if energies and forces belong together;
    other values betray other units, and a negative one the wrong sign. It sees what differs between energies, forces
    and positions, not a unit that all have in common.

    Args:
        frames: structures with energies and forces.

    Returns:
        The finding; the numbers have the factor and its 95% interval.

    Source:
        own design: see :func:`near_pairs`.
    """
    name = "forces against energies"
    if "forces" not in frames[0]:
        return Finding(name, "note", "Cannot tell: there are no forces.")
    pairs = near_pairs(frames)
    chosen = np.flatnonzero(pairs.distance < NEAR)[: max(2 * FEWEST, len(pairs.distance) // 4)]
    chosen = chosen[np.abs(pairs.work[chosen]) > 1e-12 * np.abs(pairs.work).max(initial=0.0)]
    if len(chosen) < FEWEST:
        text = f"Cannot tell: {len(chosen)} pairs of frames of the same atoms lie within {NEAR} A, {FEWEST} are needed."
        return Finding(name, "note", text, {"pairs": len(chosen)})
    slope = fit_slope(pairs.work[chosen], pairs.energy[chosen])
    numbers = {
        "factor": slope.value,
        "factor_low": slope.low,
        "factor_high": slope.high,
        "pairs": slope.pairs,
        "median_distance_A": float(np.median(pairs.distance[chosen])),
    }
    measured = f"energy differences are {slope.value:.4g} times the work of the forces ({slope.pairs} pairs)"
    severity, text = _verdict(slope, measured, set(pairs.atoms[chosen].astype(int).tolist()))
    near = pairs.distance < NEAR
    left = np.where(near, np.abs(pairs.energy - slope.value * pairs.work), 0.0)
    middle = float(np.median(pairs.distance[near]))
    left /= np.maximum(1.0, (pairs.distance / max(middle, 1e-6)) ** 3)  # the trapezium is wrong to third order
    wild = np.flatnonzero(left > max(WILD * float(np.median(left[near])), 1e-6))
    if severity == "ok" and len(wild):
        numbers["contradicting_pairs"] = pairs.frames[wild].tolist()
        worst = wild[np.argmax(left[wild])]
        a, b = pairs.frames[worst]
        off = abs(float(pairs.energy[worst] - slope.value * pairs.work[worst]))
        severity = "warning"
        text += (
            f" But {len(wild)} pairs contradict each other: between frames {a} and {b}, which are near, the energy is"
        )
        text += f" {off:.3g} eV off the work of the forces. Recompute them."
    return Finding(name, severity, text, numbers)


def _verdict(slope: Slope, measured: str, sizes: set[int]) -> tuple[Severity, str]:
    if slope.agrees(1.0, WITHIN):
        return "ok", f"They belong together: {measured}."
    if slope.agrees(-1.0, WITHIN):
        return "warning", f"The forces have the WRONG SIGN: {measured}; forces are minus the gradient."
    factors = dict(ENERGY_OVER_FORCE)
    if len(sizes) == 1 and (size := sizes.pop()) > 1:
        factors[f"energies per atom beside forces of the whole ({size} atoms)"] = 1 / size
    found = name_factor(slope, factors, WITHIN)
    if found is not None:
        sign = " AND THE WRONG SIGN" if slope.value < 0 else ""
        return "warning", f"They have different UNITS{sign}: {measured}, as of {found}."
    if slope.has_sign and (slope.low > 1.5 or slope.high < 0.67):
        return "warning", f"They do not belong together: {measured}, which should be 1 and is no known ratio of units."
    interval = f"the factor lies between {slope.low:.3g} and {slope.high:.3g}"
    return "note", f"Cannot tell: {interval} ({slope.pairs} pairs): the frames are too far from each other."


NEAR_STRAINED = 0.5  # A, root mean square displacement of the atoms besides the strain
FEWEST_STRAINED = 4
ALIKE = 1.25  # pure strains farther from 1 are told
WITHIN_STRAINED = 2.5  # the nearest other factors are 20 away


def check_stress(frames: Sequence[Data]) -> Finding:
    r"""Compare energy differences between crystals of the same atoms in different cells with the work of the stress.

    .. math:: E_2 - E_1 + \tfrac{1}{2} (F_1 + F_2) \cdot \Delta r
              = b \, \tfrac{1}{2} (V_1 \sigma_1 + V_2 \sigma_2) : \varepsilon

    The factor b is 1 with ASE's sign (positive under tension) in eV/A^3. Only pairs count where the strain does more
    work than the displacement of the atoms.

    Args:
        frames: structures with energies, forces and stresses (NaN where unknown).

    Returns:
        The finding; the numbers have the factor and its 95% interval.

    Source:
        own design: see :func:`near_pairs`.
    """
    name = "stress against energies"
    crystals = [
        frame
        for frame in frames
        if "stress" in frame and "forces" in frame and bool(torch.isfinite(frame.stress).all())
    ]
    if not crystals:
        return Finding(name, "ok", "There is no stress to check.")
    pairs = near_pairs(crystals, strained=True)
    strained = np.flatnonzero((pairs.distance < NEAR_STRAINED) & (pairs.strain_work != 0))
    # Pure strains are the best test, unless they are so small that rounding rules; then those that strain dominates.
    still = pairs.distance[strained] < 1e-3
    dominated = np.abs(pairs.strain_work[strained]) > 3 * np.abs(pairs.work[strained])
    chosen = [strained[mask] for mask in (still, dominated) if mask.sum() >= FEWEST_STRAINED]
    if not chosen:
        count = max(still.sum(), dominated.sum())
        text = f"Cannot tell: {count} pairs of crystals differ mainly by a strain, {FEWEST_STRAINED} are needed."
        return Finding(name, "note", text, {"pairs": int(count)})
    slopes = [fit_slope(pairs.strain_work[few], pairs.energy[few] - pairs.work[few]) for few in chosen]
    sure = min(range(len(slopes)), key=lambda k: (slopes[k].high - slopes[k].low) / max(abs(slopes[k].value), 1e-12))
    slope, few = slopes[sure], chosen[sure]
    numbers = {"factor": slope.value, "factor_low": slope.low, "factor_high": slope.high, "pairs": slope.pairs}
    measured = f"energy differences are {slope.value:.4g} times the work of the stress ({slope.pairs} pairs)"
    if slope.agrees(1.0, WITHIN_STRAINED):
        work = pairs.strain_work[few]
        large = np.abs(work) >= np.median(np.abs(work))  # of small works rounding rules
        ratios = (pairs.energy[few] - pairs.work[few])[large] / work[large]
        low, high = float(ratios.min()), float(ratios.max())
        numbers |= {"least": low, "most": high}
        pure = bool((pairs.distance[few] < 1e-3).all())  # where atoms move too the trapezium is a rough rule
        if pure and (low < 1 / ALIKE or high > ALIKE):
            text = (
                f"Units and sign fit, but energies and stresses do not agree: {measured}, of single pairs {low:.2g} to "
                f"{high:.2g}. A small plane-wave cutoff does that (Pulay stress); one of the two will be learned worse."
            )
            return Finding(name, "note", text, numbers)
        return Finding(name, "ok", f"They belong together: {measured}.", numbers)
    if slope.agrees(-1.0, WITHIN_STRAINED):
        return Finding(
            name, "warning", f"The stress has the WRONG SIGN: {measured}; ASE's is positive under tension.", numbers
        )
    found = name_factor(slope, ENERGY_OVER_STRESS, WITHIN_STRAINED)
    if found is not None:
        sign = " AND THE WRONG SIGN" if slope.value < 0 else ""
        return Finding(name, "warning", f"They have different UNITS{sign}: {measured}, as of {found}.", numbers)
    interval = f"the factor lies between {slope.low:.3g} and {slope.high:.3g} ({slope.pairs} pairs)"
    return Finding(name, "note", f"Cannot tell: {interval}.", numbers)
