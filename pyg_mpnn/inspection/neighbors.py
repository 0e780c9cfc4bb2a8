"""How many neighbours the atoms have at the cutoff."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch_geometric.data import Data

from pyg_mpnn.inspection.distances import neighbor_distances
from pyg_mpnn.inspection.finding import Finding

__all__ = ["check_neighbors"]

FELT = 0.05  # eV/A


def check_neighbors(frames: Sequence[Data], cutoffs: Sequence[float]) -> Finding:
    """Count the neighbours of each atom within the cutoffs; for an atom without any the model gives no force.

    Args:
        frames: structures.
        cutoffs: of the model, in A.

    Returns:
        The finding; the numbers are those at the largest cutoff, and the mean at each.
    """
    counts, means, lonely, pulled = [], np.zeros(len(cutoffs)), [], 0.0
    for index, frame in enumerate(frames):
        (_, second), distances = neighbor_distances(frame, max(cutoffs))
        found = np.bincount(second, minlength=frame.z.numel())
        counts.append(found)
        means += [(distances < cutoff).sum() for cutoff in cutoffs]
        if len(found) > 1 and (found == 0).any():
            lonely.append(index)
            if "forces" in frame:
                pulled = max(pulled, float(frame.forces[found == 0].double().norm(dim=1).max()))
    every = np.concatenate(counts)
    means /= max(len(every), 1)
    numbers: dict[str, object] = {
        "cutoffs_A": list(cutoffs),
        "mean": means.tolist(),
        "fewest": int(every.min()),
        "most": int(every.max()),
        "frames_with_lonely_atoms": lonely[:100],
        "largest_force_on_lonely_atoms_eV_per_A": pulled,
        "edges_per_structure": float(every.sum() / len(frames)),
    }
    means_text = ", ".join(f"{mean:.1f} within {cutoff:g} A" for mean, cutoff in zip(means, cutoffs, strict=True))
    text = (
        f"{means_text} on average, {every.min()} to {every.max()}; {every.sum() / len(frames):.0f} edges a structure."
    )
    if lonely:
        text += (
            f" In {len(lonely)} frames (the first is {lonely[0]}) an atom has NO neighbour: the model gives no force"
        )
        text += f", the data up to {pulled:.2g} eV/A." if pulled else "."
        return Finding("neighbours", "warning" if pulled > FELT else "note", text, numbers)
    return Finding("neighbours", "ok", text, numbers)
