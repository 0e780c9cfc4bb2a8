"""Laws of separation: what is far apart, or in another graph, does not act."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch_geometric.data import Data

from pyg_mpnn.testing.law import law
from pyg_mpnn.testing.laws.gradients import gradients_of_force_loss
from pyg_mpnn.testing.probes import ROUNDING, atoms, compare, elements, nothing, opened, rattled, scales, worst
from pyg_mpnn.testing.result import Check
from pyg_mpnn.testing.subject import Evaluation, Subject

_FAR = 100.0  # A
_INSIDE = 1e-4  # of the cutoff, from where a continuous energy has nearly ended


@law("batches")
def batch_independence(subject: Subject, structures: Sequence[Data]) -> list[Check]:
    """A structure gives the same alone as in a batch: with others, single atoms and empty ones, in any order."""
    scale = scales(subject, structures)
    members = [structures[0], rattled(structures[0], 0.1, seed=1), structures[-1]]
    if "isolated" not in subject.lacks:
        members.insert(1, atoms(structures[0].z[:1], torch.zeros(1, 3)))
    if "empty" not in subject.lacks:
        members.append(nothing())
    alone = [_alone(subject, member) for member in members]
    checks = []
    for order in (list(range(len(members))), list(range(len(members)))[::-1]):
        found = subject.evaluate([members[k] for k in order])
        wanted = Evaluation(
            torch.cat([alone[k].energy for k in order]), torch.cat([alone[k].forces for k in order]), None
        )
        checks += compare(subject, "in a batch", found, wanted, scale)
    return checks


@law("cutoff")
def size_extensivity(subject: Subject, structures: Sequence[Data]) -> list[Check]:
    """Two fragments out of reach of each other: energies add up, forces stay. Just out of reach, and 100 A apart."""
    scale = scales(subject, structures)
    first, second = opened(structures[0]), rattled(opened(structures[-1]), 0.1, seed=2)
    apart = [subject.evaluate(first), subject.evaluate(second)]
    wanted = Evaluation(apart[0].energy + apart[1].energy, torch.cat([part.forces for part in apart]), None)
    checks = []
    touching = float(first.pos[:, 0].max() - second.pos[:, 0].min())
    for what, gap in (("just out of reach", 1.001 * subject.cutoffs[-1]), ("100 A apart", _FAR)):
        moved = second.pos + torch.tensor([touching + gap, 0.0, 0.0], dtype=torch.float64)
        both = atoms(torch.cat([first.z, second.z]), torch.cat([first.pos, moved]))
        checks += compare(subject, what, subject.evaluate(both), wanted, scale)
    return checks


@law("isolated")
def isolated_atom(subject: Subject, structures: Sequence[Data]) -> list[Check]:
    """A single atom has a finite energy, the same everywhere and beside far others, and feels no force."""
    scale = scales(subject, structures)
    checks = []
    for z in elements(structures):
        single = subject.evaluate(atoms([z], torch.zeros(1, 3)))
        moved = subject.evaluate(atoms([z], torch.tensor([[3.1, -7.2, 5.9]])))
        checks += compare(subject, f"Z = {z} elsewhere", moved, single._replace(forces=torch.zeros(1, 3)), scale)
        checks.append(Check(f"force on Z = {z}", worst(single.forces), "eV/A", 0.0, "exact: nothing acts on it"))
        pair = subject.evaluate(atoms([z, z], torch.tensor([[0.0, 0.0, 0.0], [_FAR, 0.0, 0.0]])))
        wanted = Evaluation(2 * single.energy, torch.zeros(2, 3, dtype=torch.float64), None)
        checks += compare(subject, f"two of Z = {z}, 100 A apart", pair, wanted, scale)
    if "parameters" not in subject.lacks:
        first = opened(structures[0])
        beside = atoms(torch.cat([first.z, first.z[:1]]), torch.cat([first.pos, first.pos[:1] + _FAR]))
        count = sum(int((~gradient.isfinite()).sum()) for gradient in gradients_of_force_loss(subject, beside))
        what = "gradients of a force loss with an isolated atom"
        checks.append(Check(what, float(count), "values not finite", 0.0, "exact: none may be"))
    return checks


@law("isolated", "isolated energies", "cutoff")
def isolated_energy(subject: Subject, structures: Sequence[Data]) -> list[Check]:
    """An isolated atom has the energy that the model states, and two have the sum as the last neighbour leaves."""
    scale, checks = scales(subject, structures), []
    found = elements(structures)
    unknown = [z for z in found if z not in subject.isolated_energies]
    if unknown:
        raise ValueError(
            f"the model must state the energies of isolated atoms of its elements, got none for Z = {unknown}"
        )
    rounding = ROUNDING[subject.dtype]
    for z in found:
        stated = subject.isolated_energies[z]
        single = subject.evaluate(atoms([z], torch.zeros(1, 3))).energy
        why = f"rounding: {rounding:.0e} of the spread"
        checks.append(Check(f"energy of Z = {z}", worst(single - stated), "eV", rounding * scale.energy, why))
        apart = torch.tensor([[0.0, 0.0, 0.0], [0.6, 0.48, 0.64]]) * (1.0 - _INSIDE) * subject.cutoffs[-1]
        pair = subject.evaluate(atoms([z, found[0]], apart)).energy
        last = worst(pair - stated - subject.isolated_energies[found[0]])
        tolerance = max(_INSIDE, rounding) * scale.energy
        why = f"all but gone: {max(_INSIDE, rounding):.0e} of the spread"
        checks.append(Check(f"energy of Z = {z} as its last neighbour leaves", last, "eV", tolerance, why))
    return checks


def _alone(subject: Subject, member: Data) -> Evaluation:
    if len(member.z) == 0:
        return Evaluation(torch.zeros(1, dtype=torch.float64), torch.zeros(0, 3, dtype=torch.float64), None)
    return subject.evaluate(member)
