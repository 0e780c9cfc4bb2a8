"""Structures that the laws make out of those that they are given, and the scales that they are judged by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_mpnn.testing.result import Check
from pyg_mpnn.testing.subject import Evaluation, Subject

ROUNDING = {torch.float64: 1e-10, torch.float32: 1e-2}
"""Allowed relative deviation of results that differ by rounding alone."""
_MOVE = 0.05  # A


class Scales(NamedTuple):
    """What deviations are measured by: spread of the energy (eV) and RMS force component (eV/A)."""

    energy: float
    force: float


def scales(subject: Subject, structures: Sequence[Data], copies: int = 4) -> Scales:
    """Spread of the energy and size of the forces.

    The energy of a structure without its atoms' own is of unknown zero, so its spread over copies of one composition
    counts, never the total: the standard deviation over each structure and copies of it with every atom displaced by
    some 0.05 A, or what the forces give for such displacements where that is more.

    Args:
        subject: the potential.
        structures: the structures.
        copies: displaced copies of each structure.

    Returns:
        the scales, positive.

    Raises:
        ValueError: the potential has no forces there, so that no law would say anything.
    """
    spreads, squares = [], []
    for index, structure in enumerate(structures):
        members = [structure, *(rattled(structure, _MOVE, seed=10 * index + k) for k in range(copies))]
        found = [subject.evaluate(member) for member in members]
        squares.append(torch.cat([item.forces for item in found]).square().mean())
        expected = _MOVE * (squares[-1] * structure.pos.numel()).sqrt()
        spreads.append(torch.maximum(torch.cat([item.energy for item in found]).std(), expected))
    scale = Scales(float(torch.stack(spreads).max()), float(torch.stack(squares).mean().sqrt()))
    if not (0.0 < scale.energy < math.inf and 0.0 < scale.force < math.inf):
        raise ValueError(
            f"forces and energy differences must be finite and not zero to judge by, got RMS force {scale.force:.1e} "
            f"eV/A and energy spread {scale.energy:.1e} eV: give structures with interacting atoms"
        )
    return scale


def compare(subject: Subject, what: str, actual: Evaluation, expected: Evaluation, scale: Scales) -> list[Check]:
    """Checks that two results agree but for rounding.

    Args:
        subject: the potential.
        what: what is compared.
        actual: the results.
        expected: what they should be.
        scale: what deviations are measured by.

    Returns:
        one check each of energy, forces and, where both have one, stress.
    """
    relative = ROUNDING[subject.dtype]
    why = f"rounding: {relative:.0e} of the "
    last_bits = 4 * torch.finfo(torch.float64).eps * worst(expected.energy)  # of a total of thousands of eV
    allowed = max(relative * scale.energy, last_bits) if last_bits < float("inf") else relative * scale.energy
    checks = [
        Check(f"energy ({what})", worst(actual.energy - expected.energy), "eV", allowed, why + "spread"),
        Check(f"forces ({what})", worst(actual.forces - expected.forces), "eV/A", relative * scale.force, why + "RMS"),
    ]
    if actual.stress is not None and expected.stress is not None:
        size = max(float(expected.stress.abs().max()), 1e-6)
        difference = worst(actual.stress - expected.stress)
        checks.append(Check(f"stress ({what})", difference, "eV/A^3", relative * size, why + "largest component"))
    return checks


def worst(difference: Tensor) -> float:
    """Largest absolute value; NaN stays NaN, nothing is zero."""
    return float(difference.abs().max()) if difference.numel() else 0.0


def rattled(structure: Data, size: float, seed: int) -> Data:
    """A copy with every coordinate displaced at random."""
    copy = structure.clone()
    noise = torch.randn(structure.pos.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    copy.pos = structure.pos + size * noise
    return copy


def atoms(z: Sequence[int] | Tensor, pos: Tensor) -> Data:
    """An open structure."""
    return Data(z=torch.as_tensor(z, dtype=torch.long), pos=pos.double())


def nothing() -> Data:
    """A structure without atoms."""
    return Data(z=torch.zeros(0, dtype=torch.long), pos=torch.zeros(0, 3, dtype=torch.float64), num_nodes=0)


def opened(structure: Data) -> Data:
    """The atoms without their cell."""
    return atoms(structure.z, structure.pos)


def elements(structures: Sequence[Data]) -> list[int]:
    """Atomic numbers, the most frequent first."""
    count = torch.bincount(torch.cat([structure.z for structure in structures]))
    return [int(z) for z in count.argsort(descending=True, stable=True) if count[z] > 0]


def crystal(structures: Sequence[Data], cutoff: float) -> Data:
    """A structure that is periodic in three directions: the first given, else the first molecule in a tight cell.

    The made cell is triclinic and leaves about 2 A between the images, well within any cutoff.

    Args:
        structures: the structures.
        cutoff: largest cutoff of the potential, in A.

    Returns:
        a periodic structure.
    """
    for structure in structures:
        if "cell" in structure and bool(structure.pbc.all()):
            return structure
    structure = opened(structures[0])
    extent = structure.pos.max(dim=0).values - structure.pos.min(dim=0).values
    size = extent + min(2.0, 0.6 * cutoff)
    cell = torch.diag(size)
    cell[1, 0], cell[2, 0], cell[2, 1] = 0.21 * size[0], -0.13 * size[0], 0.17 * size[1]
    structure.cell, structure.pbc = cell[None], torch.ones(1, 3, dtype=torch.bool)
    return structure


def sphere(count: int) -> Tensor:
    """Points spread evenly over the unit sphere (Fibonacci lattice), none in a symmetric place."""
    index = torch.arange(count, dtype=torch.float64) + 0.5
    height = 1.0 - 2.0 * index / count
    angle = math.pi * (1.0 + 5.0**0.5) * index
    radius = (1.0 - height.square()).sqrt()
    return torch.stack([radius * angle.cos(), radius * angle.sin(), height], dim=1)
