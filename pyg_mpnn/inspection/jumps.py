"""Do all energies come from one method?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from ase.formula import Formula
from ase.symbols import Symbols
from torch_geometric.data import Data

from pyg_mpnn.inspection.finding import Finding

__all__ = ["check_jumps"]

JUMP = 10.0  # times the spread on either side
LEAST = 0.1  # eV/atom: polymorphs and conformers differ by less
FEWEST = 3  # frames on either side


def check_jumps(frames: Sequence[Data]) -> Finding:
    """Look for frames of one composition whose energies lie in two groups far apart.

    Two pseudopotentials or functionals shift all energies of a composition. A jump is a gap of more than 0.1 eV per
    atom and of ten times the spread on either side, with at least three frames there; single frames are outliers.

    Args:
        frames: structures with energies.

    Returns:
        The finding; the numbers have the frames on the smaller side.

    Source:
        own design.
    """
    groups: defaultdict[str, list[int]] = defaultdict(list)
    for index, frame in enumerate(frames):
        groups[str(Formula(str(Symbols(frame.z.numpy()))).reduce()[0])].append(index)
    texts, numbers = [], {}
    for name, places in groups.items():
        energies = np.array([float(frames[k].energy) / max(len(frames[k].z), 1) for k in places])
        order = np.argsort(energies)
        values = energies[order]
        if len(values) < 2 * FEWEST:
            continue
        gaps = np.diff(values)[FEWEST - 1 : len(values) - FEWEST]
        cut = int(gaps.argmax()) + FEWEST
        gap, spread = float(gaps.max()), max(float(values[:cut].std()), float(values[cut:].std()))
        if gap > LEAST and gap > JUMP * spread:
            few = sorted(np.array(places)[order[:cut] if 2 * cut <= len(values) else order[cut:]].tolist())
            listed = ", ".join(map(str, few[:5])) + (", ..." if len(few) > 5 else "")
            texts.append(f"{len(few)} of {len(values)} frames of {name} (frames {listed}) by {gap:.3g} eV/atom.")
            numbers[name] = few
    if not texts:
        return Finding("one method", "ok", "No composition has energies in two groups far apart.")
    text = (
        f"Energies JUMP: {' '.join(texts)} Perhaps two pseudopotentials, functionals or phases: energies of two "
        "methods do not go together; leave one out."
    )
    return Finding("one method", "warning", text, {"frames": numbers})
