"""Laws of smoothness: neighbours come and go without a trace, singly and in crowds, and none is dropped."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_mpnn.testing.law import law
from pyg_mpnn.testing.laws.gradients import gradients_of_force_loss
from pyg_mpnn.testing.probes import atoms, compare, elements, opened, scales, sphere
from pyg_mpnn.testing.result import Check
from pyg_mpnn.testing.subject import Subject

# Distances of the points (A) from which values at a cutoff are extrapolated, and the allowed jumps of energy, force and
# slope of the force relative to their size inside. Truncation is near step^4, step^4 and step^3 times high derivatives.
# A jump shows at every distance, truncation at long ones only and rounding at short ones: the least found counts, and
# the search ends where it is clear.
_STEPS = {torch.float64: (5e-4,), torch.float32: (3e-2, 1e-2, 3e-3)}
_ALLOWED = {torch.float64: (1e-6, 1e-6, 1e-4), torch.float32: (1e-2, 5e-2, 2e-1)}
_CLEAR = 0.5  # of what is allowed
_VALUE = torch.tensor([4.0, -6.0, 4.0, -1.0], dtype=torch.float64)  # cubic through 1, 2, 3, 4 steps, at 0
_SLOPE = torch.tensor([-13.0 / 3.0, 9.5, -7.0, 11.0 / 6.0], dtype=torch.float64)  # its derivative at 0
_UNITS = ("eV", "eV/A", "eV/A^2")
_NAMES = ("energy", "force", "slope of the force")


@dataclass(frozen=True)
class Path:
    """A way of some atoms along straight lines: position s in A, direction of each atom.

    Args:
        structure: the structure at s = 0.
        direction: velocity of each atom along the way, (nodes, 3).
    """

    structure: Data
    direction: Tensor

    def at(self, place: float) -> Data:
        """The structure at one place."""
        moved = self.structure.clone()
        moved.pos = self.structure.pos + place * self.direction
        return moved

    def energy_and_force(self, subject: Subject, places: Sequence[float]) -> tuple[Tensor, Tensor]:
        """Energy and force along the way, -dE/ds, at each place; one call each, as batches have a law of their own."""
        found = [subject.evaluate(self.at(place)) for place in places]
        along = torch.stack([(result.forces * self.direction).sum() for result in found])
        return torch.cat([result.energy for result in found]), along


@law("cutoff")
def smoothness_single(subject: Subject, structures: Sequence[Data]) -> list[Check]:
    """One atom that leaves the reach of others: energy and its derivatives continuous to the declared order.

    At every declared cutoff the one-sided limits are compared; between, the way is searched for jumps.
    """
    z, cutoffs = elements(structures), subject.cutoffs
    checks = []
    for other in z[:2]:
        dimer = atoms([z[0], other], torch.zeros(2, 3))
        checks += _crossings(subject, leaving(dimer, 1, torch.tensor([0.6, 0.48, 0.64])), cutoffs, "dimer")
    molecule = opened(structures[0])
    if len(molecule.z) > 1:
        path = _guest(molecule, z[0])
        places = _crossing_places(path, cutoffs, room=max(0.05, 9 * _STEPS[subject.dtype][0]))
        checks += _crossings(subject, path, places, "molecule")
        start, stop = _reach(path, cutoffs[-1])
        checks += _jumps(subject, path, torch.linspace(start, stop, 49).tolist(), "molecule")
    return checks


@law("cutoff")
def smoothness_crowd(subject: Subject, structures: Sequence[Data]) -> list[Check]:
    """All neighbours that leave at once, and one that leaves a crowd: as smooth as a single one alone."""
    z, cutoffs = elements(structures), subject.cutoffs
    others = [z[k % len(z)] for k in range(12)]
    corners = sphere(12)
    star = atoms([z[0], *others], torch.zeros(13, 3))
    path = Path(star, torch.cat([torch.zeros(1, 3, dtype=torch.float64), corners]))
    checks = _crossings(subject, path, cutoffs, "all leave")
    radius = 0.45 * cutoffs[-1]
    crowd = atoms(
        [z[0]] + [z[k % len(z)] for k in range(25)],
        torch.cat([torch.zeros(1, 3), radius * sphere(24), torch.zeros(1, 3)]),
    )
    path = leaving(crowd, 25, torch.tensor([0.6, 0.48, 0.64]))
    outside = [cutoff for cutoff in cutoffs if cutoff > 1.3 * radius]
    return checks + _crossings(subject, path, outside, "one of 25 leaves", reference=cutoffs[-1])


@law("cutoff")
def symmetric_sites(subject: Subject, structures: Sequence[Data]) -> list[Check]:
    """Where directional sums vanish by symmetry, results and gradients of a loss on forces are finite, and smooth.

    An atom in the middle of an octahedron and of a tetrahedron, as in rock salt and diamond, and on the way through.
    """
    z, radius = elements(structures), 0.4 * subject.cutoffs[-1]
    octahedron = torch.cat([torch.eye(3), -torch.eye(3)])
    tetrahedron = torch.tensor([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / 3**0.5
    checks = []
    for what, corners in (("octahedron", octahedron), ("tetrahedron", tetrahedron)):
        site = atoms([z[0]] + [z[-1]] * len(corners), torch.cat([torch.zeros(1, 3), radius * corners]))
        found = subject.evaluate(site)
        values = [found.energy, found.forces]
        if "parameters" not in subject.lacks:
            values += gradients_of_force_loss(subject, site)
        count = sum(int((~value.isfinite()).sum()) for value in values)
        checks.append(Check(f"in the {what}", float(count), "values not finite", 0.0, "exact: none may be"))
        checks += _crossings(subject, leaving(site, 0, torch.tensor([0.6, 0.48, 0.64])), [0.0], what, reference=radius)
    return checks


@law("cutoff")
def no_truncation(subject: Subject, structures: Sequence[Data]) -> list[Check]:
    """Atoms with some 140 neighbours in reach feel every one: no order of atoms and no way through shows a cap."""
    z = elements(structures)
    count, cutoff = 140, subject.cutoffs[-1]
    shell = sphere(count) * cutoff * torch.linspace(0.8, 0.95, count, dtype=torch.float64)[:, None]
    dense = atoms([z[0]] + [z[k % len(z)] for k in range(count)], torch.cat([torch.zeros(1, 3), shell]))
    scale = scales(subject, [dense], copies=1)
    expected, order = subject.evaluate(dense), torch.randperm(count + 1)
    permuted = atoms(dense.z[order], dense.pos[order])
    wanted = expected._replace(forces=expected.forces[order])
    checks = compare(subject, "dense, renumbered", subject.evaluate(permuted), wanted, scale)
    reversed_ = atoms(dense.z.flip(0), dense.pos.flip(0))
    wanted = expected._replace(forces=expected.forces.flip(0))
    checks += compare(subject, "dense, in reverse order", subject.evaluate(reversed_), wanted, scale)
    direction = torch.zeros_like(dense.pos)
    direction[1 + count // 2] = -shell[count // 2] / shell[count // 2].norm()
    path = Path(dense, direction)  # from the middle of the neighbours to the nearest
    return checks + _jumps(
        subject, path, torch.linspace(0.0, 0.15 * cutoff, 9).tolist(), "dense", levels=20, forces=False
    )


def leaving(structure: Data, atom: int, direction: Tensor) -> Path:
    """Way of one atom along a direction, from where it is.

    Args:
        structure: the structure.
        atom: index of the atom.
        direction: where it goes.

    Returns:
        the path.
    """
    velocity = torch.zeros_like(structure.pos)
    velocity[atom] = direction.double() / direction.norm()
    return Path(structure, velocity)


def _guest(molecule: Data, z: int) -> Path:
    """Way of one more atom from the middle of a molecule outwards, through the widest gap of 40 directions."""
    centre = molecule.pos.mean(dim=0)
    arms = molecule.pos - centre
    directions = sphere(40)
    along = arms @ directions.T  # (nodes, directions)
    distance = (arms.square().sum(dim=1, keepdim=True) - along.square()).clamp(min=0.0).sqrt()
    widest = directions[int(torch.where(along > 0.0, distance, math.inf).min(dim=0).values.argmax())]
    guest = atoms(torch.cat([molecule.z, torch.tensor([z])]), torch.cat([molecule.pos, centre[None]]))
    return leaving(guest, len(molecule.z), widest)


def _reach(path: Path, cutoff: float) -> tuple[float, float]:
    """From where the guest is 1.5 A outside the other atoms to where it is out of reach."""
    guest, direction = path.structure.pos[-1], path.direction[-1]
    places = torch.arange(0.0, 60.0, 0.1, dtype=torch.float64)
    distance = (guest + places[:, None] * direction)[:, None] - path.structure.pos[:-1]
    nearest = distance.norm(dim=2).min(dim=1).values
    last_close = places[nearest < 1.5].max() if bool((nearest < 1.5).any()) else torch.tensor(0.0)
    return float(last_close) + 0.1, float(places[nearest < cutoff].max()) + 0.2


def _crossing_places(path: Path, cutoffs: Sequence[float], room: float, most: int = 6) -> list[float]:
    """Where the guest crosses the cutoff spheres of the others, outwards, at most some, no two close to each other."""
    guest, direction = path.structure.pos[-1], path.direction[-1]
    start, _ = _reach(path, cutoffs[-1])
    found = []
    for radius in cutoffs:
        arm = guest - path.structure.pos[:-1]
        along = (arm * direction).sum(dim=1)
        root = along.square() - arm.square().sum(dim=1) + radius**2
        found += [float(place) for place in (-along + root.clamp(min=0.0).sqrt())[root > 0.0]]
    found = sorted({round(place, 6) for place in found if place > start})  # atoms crossed at once count once
    apart = [
        place for k, place in enumerate(found) if all(abs(place - other) > room for other in found[:k] + found[k + 1 :])
    ]
    every = max(1, math.ceil(len(apart) / most))
    return apart[::-1][::every]


def _crossings(
    subject: Subject, path: Path, places: Sequence[float], what: str, reference: float | None = None
) -> list[Check]:
    """Jumps of the energy, force and slope of the force at the places, up to the declared order."""
    steps, allowed = _STEPS[subject.dtype], _ALLOWED[subject.dtype]
    if not places:
        return []
    inner = 0.6 * (min(places) if reference is None else reference)
    samples = torch.linspace(inner, max(places) + 8 * steps[0], 17).tolist()
    if what == "molecule":
        samples = torch.linspace(*_reach(path, subject.cutoffs[-1]), 17).tolist()
    energy, force = path.energy_and_force(subject, samples)
    spacing = samples[1] - samples[0]
    sizes = [energy.max() - energy.min(), force.abs().max(), (force.diff() / spacing).abs().max()]
    if not all(0.0 < float(size) < math.inf for size in sizes):
        raise ValueError(f"a neighbour must act inside the cutoff to judge by, got no effect ({what})")
    tolerances = [relative * float(size) for relative, size in zip(allowed, sizes, strict=True)]
    jumps = [math.inf] * 3
    for step in steps:
        jumps = [min(pair) for pair in zip(jumps, _limits_apart(subject, path, places, step), strict=True)]
        shares = [jump / tolerance for jump, tolerance in zip(jumps, tolerances, strict=True)]
        if all(share <= _CLEAR for share in shares[: int(min(subject.smoothness, 2.0)) + 1]):
            break
    order = (*(share <= 1.0 for share in shares), False).index(False) - 1
    found = f"{what}, found C{order}{' or smoother' if order == 2 else ''}" if order >= 0 else f"{what}, found a jump"
    why = "of its size inside: truncation of the one-sided limits"
    return [
        Check(f"jump of the {_NAMES[k]} ({found})", jumps[k], _UNITS[k], tolerances[k], f"{allowed[k]:.0e} {why}")
        for k in range(int(min(subject.smoothness, 2.0)) + 1)
    ]


def _limits_apart(subject: Subject, path: Path, places: Sequence[float], step: float) -> list[float]:
    """Largest difference of the one-sided limits of energy, force and slope of the force, from points a step apart."""
    points = [place + sign * k * step for place in places for sign in (-1, 1) for k in (1, 2, 3, 4)]
    energy, force = (item.view(len(places), 2, 4) for item in path.energy_and_force(subject, points))
    limits = [energy @ _VALUE, force @ _VALUE, force @ _SLOPE / step * torch.tensor([-1.0, 1.0])]
    return [float((limit[:, 1] - limit[:, 0]).abs().max()) for limit in limits]


def _jumps(
    subject: Subject, path: Path, places: Sequence[float], what: str, levels: int = 22, forces: bool = True
) -> list[Check]:
    """Jumps of energy and force anywhere on the way, by bisection of the interval that its ends explain worst."""
    energy, force = path.energy_and_force(subject, places)
    spread = float(energy.max() - energy.min())
    size = float(force.abs().max())
    if not (0.0 < spread < math.inf and 0.0 < size < math.inf):
        raise ValueError(f"energy and force must change along the way to judge by, got no effect ({what})")
    curve = torch.tensor(places, dtype=torch.float64), energy, force
    smallest = (places[1] - places[0]) / 2**levels
    relative = {torch.float64: (1e-6, 1e-4), torch.float32: (1e-2, 5e-2)}[subject.dtype]
    why = f"of its range on the way: rounding, and what a smooth function does within {smallest:.0e} A"
    jump = _bisect(subject, path, curve, _unexplained_energy, levels)
    checks = [Check(f"jump of the energy on the way ({what})", jump, "eV", relative[0] * spread, why)]
    if forces and subject.smoothness >= 1:
        jump = _bisect(subject, path, curve, lambda place, energy, force: force.diff().abs(), levels)
        checks.append(Check(f"jump of the force on the way ({what})", jump, "eV/A", relative[1] * size, why))
    return checks


def _unexplained_energy(place: Tensor, energy: Tensor, force: Tensor) -> Tensor:
    """Change of the energy between neighbouring places that the forces do not explain (trapezoid with curvature)."""
    width = place.diff()
    curvature = torch.zeros_like(width)
    if len(place) > 2:  # of places at equal distances, at the inner ones; each interval takes the mean of its ends
        inner = force.diff().diff() / width[0].square()
        curvature = 0.5 * (torch.cat([inner[:1], inner]) + torch.cat([inner, inner[-1:]]))
    explained = -0.5 * width * (force[1:] + force[:-1]) + width**3 / 12.0 * curvature
    return (energy.diff() - explained).abs()


def _bisect(
    subject: Subject,
    path: Path,
    curve: tuple[Tensor, Tensor, Tensor],
    measure: Callable[[Tensor, Tensor, Tensor], Tensor],
    levels: int,
) -> float:
    worst = int(measure(*curve).argmax())
    place, energy, force = (item[worst : worst + 2] for item in curve)
    for _ in range(levels):
        middle = place.mean()
        new_energy, new_force = path.energy_and_force(subject, [float(middle)])
        place = torch.stack([place[0], middle, place[1]])
        energy, force = (
            torch.stack([item[0], new[0], item[1]]) for item, new in ((energy, new_energy), (force, new_force))
        )
        half = int(measure(place, energy, force).argmax())
        place, energy, force = place[half : half + 2], energy[half : half + 2], force[half : half + 2]
    return float(measure(place, energy, force)[0])
