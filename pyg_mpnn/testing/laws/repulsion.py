"""What is no law but should be seen: attraction of atoms nearer than any that are known."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import torch
from torch_geometric.data import Data

from pyg_mpnn.geometry import covalent_radii
from pyg_mpnn.testing.law import law
from pyg_mpnn.testing.probes import atoms, elements
from pyg_mpnn.testing.result import Check
from pyg_mpnn.testing.subject import Subject

_OUTER, _INNER = 0.75, 0.3  # of the sum of covalent radii: no bond of two atoms is as short as the first
_POINTS = 64
_ALLOWED = 0.1  # eV
_DIRECTION = torch.tensor([0.6, 0.48, 0.64], dtype=torch.float64)


@law("cutoff")
def repulsion(
    subject: Subject, structures: Sequence[Data], distances: Mapping[tuple[int, int], float] | None = None
) -> list[Check]:
    """Two atoms nearer than any bond, and than any of the data, repel: inwards their energy falls nowhere."""
    radii, known = covalent_radii(), distances or {}
    checks = []
    for pair in itertools.combinations_with_replacement(sorted(elements(structures)), 2):
        bond = float(radii[list(pair)].sum())
        start = min(_OUTER * bond, known.get(pair, bond), 0.95 * subject.cutoffs[-1])
        apart = torch.linspace(start, _INNER * bond, _POINTS, dtype=torch.float64)
        close = [atoms(pair, torch.stack([torch.zeros(3), r * _DIRECTION])) for r in apart]
        energy = subject.evaluate(close).energy if "batches" not in subject.lacks else _each(subject, close)
        lost = energy.cummax(dim=0).values - energy
        most = int(lost.argmax())
        top = int(energy[: most + 1].argmax())
        what = f"Z = {pair[0]} and {pair[1]} attract: energy lost from {apart[top]:.2f} to {apart[most]:.2f} A"
        if not bool(energy.isfinite().all()):
            what, lost = f"Z = {pair[0]} and {pair[1]}: energy not finite", torch.full_like(energy, torch.nan)
        why = "some kT: less does not draw atoms together"
        checks.append(Check(what, float(lost[most]), "eV", _ALLOWED, why))
    return checks


def _each(subject: Subject, structures: Sequence[Data]) -> torch.Tensor:
    return torch.cat([subject.evaluate(structure).energy for structure in structures])
