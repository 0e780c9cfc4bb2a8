"""Laws of periodic systems: one crystal, described in several ways."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch_geometric.data import Data

from pyg_mpnn.testing.law import law
from pyg_mpnn.testing.probes import compare, crystal, rattled, scales
from pyg_mpnn.testing.result import Check
from pyg_mpnn.testing.subject import Evaluation, Subject

_CELLS = (  # whole numbers, determinant 1 or -1: other vectors of the same lattice
    ("sheared vectors", [[1, 1, 0], [0, 1, 0], [-1, 0, 1]]),
    ("long vectors", [[1, 0, 2], [1, 1, 0], [0, -1, 1]]),
    ("left-handed vectors", [[0, 1, 0], [1, 0, 0], [0, 0, 1]]),
)
_PERIODIC = {"crystal": [True, True, True], "slab": [True, True, False], "wire": [False, True, False]}


@law("periodic", "cutoff")
def supercell(subject: Subject, structures: Sequence[Data]) -> list[Check]:
    """A doubled cell has twice the energy, the same forces and stress; slabs and wires too."""
    probe = _probe(subject, structures)
    scale, checks = scales(subject, [probe]), []
    for kind, pbc in _PERIODIC.items():
        if kind != "crystal" and "partly periodic" in subject.lacks:
            continue
        single = probe.clone()
        single.pbc = torch.tensor([pbc])
        stress = kind == "crystal" and "stress" not in subject.lacks
        for axis in [axis for axis in range(3) if pbc[axis]]:
            double = single.clone()
            double.z = single.z.repeat(2)
            double.pos = torch.cat([single.pos, single.pos + single.cell[0, axis]])
            double.cell = single.cell * (1.0 + torch.eye(3, dtype=torch.float64)[axis])[:, None]
            expected = subject.evaluate(single, stress=stress)
            wanted = Evaluation(2 * expected.energy, expected.forces.repeat(2, 1), expected.stress)
            found = subject.evaluate(double, stress=stress)
            checks += compare(subject, f"{kind} doubled along {'abc'[axis]}", found, wanted, scale)
        if kind != "crystal":
            wide = single.clone()
            wide.cell = single.cell * torch.where(single.pbc, 1.0, 3.0).double()[..., None]
            expected, found = subject.evaluate(single), subject.evaluate(wide)
            checks += compare(subject, f"{kind} in a wide cell", found, expected, scale)
    return checks


@law("periodic", "cutoff")
def wrapping(subject: Subject, structures: Sequence[Data]) -> list[Check]:
    """Atoms moved by whole lattice vectors, each by others, change nothing."""
    probe = _probe(subject, structures)
    moved = probe.clone()
    moved.pos = probe.pos + torch.randint(-2, 3, probe.pos.shape).double() @ probe.cell[0]
    return _same(subject, probe, [("wrapped otherwise", moved)])


@law("periodic", "cutoff")
def cell_choice(subject: Subject, structures: Sequence[Data]) -> list[Check]:
    """Other vectors of the same lattice change nothing: sheared, long and left-handed ones."""
    probe = _probe(subject, structures)
    others = []
    for what, numbers in _CELLS:
        other = probe.clone()
        other.cell = torch.tensor(numbers, dtype=torch.float64) @ probe.cell
        others.append((what, other))
    return _same(subject, probe, others)


def _probe(subject: Subject, structures: Sequence[Data]) -> Data:
    return rattled(crystal(structures, subject.cutoffs[-1]), 0.03, seed=3)  # no force is zero by symmetry


def _same(subject: Subject, probe: Data, others: Sequence[tuple[str, Data]]) -> list[Check]:
    scale, stress = scales(subject, [probe]), "stress" not in subject.lacks
    expected = subject.evaluate(probe, stress=stress)
    return [
        check
        for what, other in others
        for check in compare(subject, what, subject.evaluate(other, stress=stress), expected, scale)
    ]
