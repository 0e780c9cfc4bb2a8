"""What the file holds: compositions, distances, neighbours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from ase.data import chemical_symbols, covalent_radii
from ase.formula import Formula
from torch_geometric.data import Data

from pyg_mpnn.geometry import edge_vectors, neighbor_list
from pyg_mpnn.inspection.finding import Finding

__all__ = ["check_composition", "check_distances", "neighbor_distances", "check_neighbors"]


def check_composition(frames: Sequence[Data], alone: Sequence[Data] = ()) -> Finding:
    """Count structures, elements, compositions, and the rank of the matrix of compositions.

    Below full rank, reference energies of the elements are one choice of many: energies of other compositions than
    those in the data, and of isolated atoms, mean nothing then. Energies of isolated atoms mend that: structures of
    one atom in the data, which a training takes for them, or ``TrainingSettings.isolated``.

    Args:
        frames: structures.
        alone: structures of one isolated atom, which are not among ``frames``.

    Returns:
        The finding.
    """
    elements = sorted({int(z) for frame in frames for z in frame.z.unique()})
    counts = np.array([[int((frame.z == z).sum()) for z in elements] for frame in frames])
    rank = int(np.linalg.matrix_rank(counts))
    names = Counter(
        Formula.from_dict({chemical_symbols[z]: n for z, n in zip(elements, row, strict=True) if n}).format("hill")
        for row in counts.tolist()
    )
    sizes = counts.sum(axis=1)
    periodic = sum("pbc" in frame and bool(frame.pbc.any()) for frame in frames)
    numbers: dict[str, object] = {
        "structures": len(frames),
        "periodic": periodic,
        "atoms_smallest": int(sizes.min()),
        "atoms_largest": int(sizes.max()),
        "elements": [chemical_symbols[z] for z in elements],
        "compositions": dict(names.most_common(20)),
        "num_compositions": len(names),
        "rank": rank,
    }
    span = str(sizes.min()) if sizes.min() == sizes.max() else f"{sizes.min()} to {sizes.max()}"
    most = ", ".join(name for name, _ in names.most_common(3)) + (", ..." if len(names) > 3 else "")
    kinds = f"{len(names)} composition{'s' * (len(names) != 1)} ({most})"
    text = (
        f"{len(frames)} structures ({periodic} periodic) of {span} atoms, {kinds}; rank {rank} of {len(elements)} "
        f"element{'s' * (len(elements) != 1)}."
    )
    known = sorted({int(frame.z) for frame in alone} & set(elements))
    numbers["isolated_atoms_eV"] = {chemical_symbols[int(frame.z)]: float(frame.energy) for frame in alone}
    if alone:
        names_of = ", ".join(chemical_symbols[z] for z in known)
        text += f" Isolated atoms of {names_of} set the reference energies in a training: keep them in the file."
    free = [column for column, z in enumerate(elements) if z not in known]
    open_ = int(np.linalg.matrix_rank(counts[:, free])) < len(free) if free else False
    if open_:
        text += (
            " Energies of other compositions and of isolated atoms will mean nothing (forces will): add isolated atoms "
            "to the file (structures of one atom), or give --isolated."
        )
    return Finding("composition", "note" if open_ else "ok", text, numbers)


SEARCH = 6.0  # A
NOBLE = (2, 10, 18, 36, 54, 86)  # do not bond


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
