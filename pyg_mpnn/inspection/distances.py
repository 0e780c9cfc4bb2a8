"""Are the positions in A? The shortest distances between atoms, beside the sizes of the atoms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase.data import chemical_symbols, covalent_radii
from torch_geometric.data import Data

from pyg_mpnn.geometry import edge_vectors, neighbor_list
from pyg_mpnn.inspection.finding import Finding

SEARCH = 6.0  # A
NOBLE = (2, 10, 18, 36, 54, 86)  # do not bond

__all__ = ["check_distances", "neighbor_distances"]


def neighbor_distances(frame: Data, cutoff: float) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of atoms of one structure within a distance.

    Args:
        frame: the structure.
        cutoff: in A.

    Returns:
        The two atoms of each pair, both ways, ``(2, pairs)``, and their distances in A.
    """
    cell, pbc = getattr(frame, "cell", None), getattr(frame, "pbc", None)
    pos = frame.pos.double()
    edge_index, shifts = neighbor_list(pos, cutoff, cell=cell, pbc=pbc)
    cell = None if cell is None else cell.double()
    return edge_index.numpy(), edge_vectors(pos, edge_index, shifts, cell).norm(dim=1).numpy()


def check_distances(frames: Sequence[Data]) -> Finding:
    """Compare the distance of each atom to its nearest neighbour with the sum of the covalent radii.

    In A nearly all atoms that bond have a neighbour at 0.8 to 1.25 of it. If even the nearest of all are at 1.4 the
    positions are likely in bohr; if most are below 0.65, in a unit longer than A.

    Args:
        frames: structures.

    Returns:
        The finding; the numbers have the shortest distance of each pair of elements that come within 6 A.

    Units:
        A.

    Source:
        radii: B. Cordero et al., Dalton Trans. 2832 (2008), as in ASE; the limits are our own, from molecules and
        crystals in A.
    """
    shortest: dict[str, tuple[float, int]] = {}
    ratios = []
    for index, frame in enumerate(frames):
        z = frame.z.numpy()
        (first, second), distances = neighbor_distances(frame, SEARCH)
        ratio = distances / (covalent_radii[z[first]] + covalent_radii[z[second]])
        nearest = np.full(len(z), np.inf)
        np.minimum.at(nearest, second, ratio)
        ratios.append(nearest[~np.isin(z, NOBLE)])
        low, high = np.minimum(z[first], z[second]), np.maximum(z[first], z[second])
        for pair in np.unique(low * 200 + high):
            found = float(distances[low * 200 + high == pair].min())
            name = f"{chemical_symbols[pair // 200]}-{chemical_symbols[pair % 200]}"
            if found < shortest.get(name, (np.inf, 0))[0]:
                shortest[name] = (found, index)
    numbers: dict[str, object] = {
        "shortest_A": {name: value for name, (value, _) in sorted(shortest.items())},
        "in_frame": {name: index for name, (_, index) in sorted(shortest.items())},
    }
    listed = ", ".join(f"{name} {value:.3f}" for name, (value, _) in sorted(shortest.items(), key=lambda item: item[1]))
    bonded = np.concatenate(ratios)
    if not np.isfinite(bonded).any():
        return Finding("distances", "note", f"No two bonding atoms are within {SEARCH:g} A of each other.", numbers)
    low, middle = (float(value) for value in np.quantile(bonded[np.isfinite(bonded)], [0.01, 0.5]))
    numbers |= {"nearest_over_radii_1_percent": low, "nearest_over_radii_median": middle}
    of_radii = f"nearest neighbours at {middle:.2f} of the sum of covalent radii"
    if low > 1.4 and middle > 1.5:
        return Finding(
            "distances", "warning", f"The positions are likely in BOHR, not A: {of_radii}. {listed}", numbers
        )
    if middle < 0.65:
        text = f"The positions are likely in a unit longer than A (nm?): {of_radii}. {listed}"
        return Finding("distances", "warning", text, numbers)
    return Finding("distances", "ok", f"Shortest in A: {listed}.", numbers)
