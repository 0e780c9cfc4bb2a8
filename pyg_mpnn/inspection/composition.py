"""What the file holds, and how far the compositions determine the reference energies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from ase.data import chemical_symbols
from ase.formula import Formula
from torch_geometric.data import Data

from pyg_mpnn.inspection.finding import Finding

__all__ = ["check_composition"]


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
    text = (
        f"{len(frames)} structures ({periodic} periodic) of {span} atoms, {len(names)} compositions ({most}); rank "
        f"{rank} of {len(elements)} elements."
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
