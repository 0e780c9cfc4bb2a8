"""Is the stress the derivative of the energy with respect to strain, with ASE's sign?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch_geometric.data import Data

from pyg_mpnn.inspection.finding import Finding
from pyg_mpnn.inspection.pairs import near_pairs
from pyg_mpnn.inspection.slope import ENERGY_OVER_STRESS, fit_slope, name_factor

NEAR = 0.5  # A, root mean square displacement of the atoms besides the strain
FEWEST = 4
WITHIN = 2.5  # the nearest other factors are 20 away

__all__ = ["check_stress"]


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
    strained = np.flatnonzero((pairs.distance < NEAR) & (pairs.strain_work != 0))
    # Pure strains are the best test, unless they are so small that rounding rules; then those that strain dominates.
    still = pairs.distance[strained] < 1e-3
    dominated = np.abs(pairs.strain_work[strained]) > 3 * np.abs(pairs.work[strained])
    chosen = [strained[mask] for mask in (still, dominated) if mask.sum() >= FEWEST]
    if not chosen:
        count = max(still.sum(), dominated.sum())
        text = f"Cannot tell: {count} pairs of crystals differ mainly by a strain, {FEWEST} are needed."
        return Finding(name, "note", text, {"pairs": int(count)})
    slopes = [fit_slope(pairs.strain_work[few], pairs.energy[few] - pairs.work[few]) for few in chosen]
    slope = min(slopes, key=lambda slope: (slope.high - slope.low) / max(abs(slope.value), 1e-12))
    numbers = {"factor": slope.value, "factor_low": slope.low, "factor_high": slope.high, "pairs": slope.pairs}
    measured = f"energy differences are {slope.value:.4g} times the work of the stress ({slope.pairs} pairs)"
    if slope.agrees(1.0, WITHIN):
        return Finding(name, "ok", f"They belong together: {measured}.", numbers)
    if slope.agrees(-1.0, WITHIN):
        return Finding(
            name, "warning", f"The stress has the WRONG SIGN: {measured}; ASE's is positive under tension.", numbers
        )
    found = name_factor(slope, ENERGY_OVER_STRESS, WITHIN)
    if found is not None:
        sign = " AND THE WRONG SIGN" if slope.value < 0 else ""
        return Finding(name, "warning", f"They have different UNITS{sign}: {measured}, as of {found}.", numbers)
    interval = f"the factor lies between {slope.low:.3g} and {slope.high:.3g} ({slope.pairs} pairs)"
    return Finding(name, "note", f"Cannot tell: {interval}.", numbers)
