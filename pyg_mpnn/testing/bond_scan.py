"""Energy and force of two atoms by their distance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch_geometric.data import Data

from pyg_mpnn.testing.law import as_structures
from pyg_mpnn.testing.laws.smoothness import leaving
from pyg_mpnn.testing.probes import atoms, elements
from pyg_mpnn.testing.subject import as_subject


def bond_scan(model: Any, structures: Data | Sequence[Data], *, points: int = 400, **adapter: Any) -> dict[str, Any]:
    """Energy and force of two atoms by their distance, from 0.5 A through every cutoff.

    Args:
        model: the potential, see :func:`as_subject`.
        structures: structures whose two most frequent elements are taken.
        points: number of distances.
        **adapter: arguments of :func:`as_subject`.

    Returns:
        ``distance`` (A), ``energy`` (eV, zero out of reach) ``force`` along the bond (eV/A), the ``cutoff`` radii (A),
        and ``elements``, the atomic numbers of the two.
    """
    subject = as_subject(model, **adapter)
    if not subject.cutoffs:
        raise ValueError("'cutoff' must be given for a scan through it, got a model that declares to have none")
    z = elements(as_structures(structures))
    pair = [int(z[0]), int(z[min(1, len(z) - 1)])]
    path = leaving(atoms(pair, torch.zeros(2, 3)), 1, torch.tensor([0.6, 0.48, 0.64]))
    places = torch.linspace(0.5, 1.15 * subject.cutoffs[-1], points).tolist()
    energy, force = path.energy_and_force(subject, places)
    scan = {"distance": places, "energy": (energy - energy[-1]).tolist(), "force": force.tolist()}
    return scan | {"cutoff": list(subject.cutoffs), "elements": pair}
