"""Molecules of QM9 that shake: walks in which every step is a label.

A walk begins at a molecule of QM9, perhaps with hydrogens at carbon replaced by fluorine (the part of QM9 that we have
holds seven molecules with fluorine), often with one single bond turned by a random angle. Its first frame is displaced
along the normal modes of an elastic network, each with the amplitude of the temperature. Each further frame is one step
of overdamped Langevin dynamics under the teacher's forces with the network as its metric,

    x' = x + h H^-1 F + sqrt(2 h kT) H^-1/2 (xi + xi') / 2,    h = 0.3,

so that frames go from the network's guess towards the teacher's own distribution and nothing is computed in between;
the mean of the normal numbers of two steps makes the distribution of a harmonic well exact at any h (Leimkuhler and
Matthews, Appl. Math. Res. Express 2013, 34).
"""

from __future__ import annotations

import csv
import lzma
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.units import kB
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components, shortest_path

from pyg_mpnn.learning.teacher import NoLabel, label

LEFT_OUT = {
    "aspirin": "C9H8O4",
    "azobenzene": "C12H10N2",
    "benzene": "C6H6",
    "ethanol": "C2H6O",
    "malonaldehyde": "C3H4O2",
    "naphthalene": "C10H8",
    "paracetamol": "C8H9NO2",
    "salicylic acid": "C7H6O3",
    "toluene": "C7H8",
    "uracil": "C4H4N2O2",
}
"""The molecules of rMD17. No molecule of one of these compositions is trained on: isomers are left out too."""

FRAMES = 4  # of a walk
TEMPERATURES = 200.0, 1200.0  # K
STEP = 0.3  # h
SPRINGS = {1: 30.0, 2: 7.0, 3: 0.4}  # eV/A^2, by the number of bonds between two atoms; that of a bond times (r0/r)^6
FAR = 0.03  # eV/A^2, of all other pairs
SIDEWAYS = 0.02  # of the spring of a bond, in all directions: atoms of planar groups leave the plane
BOND = 1.25  # times the sum of covalent radii: the longest bond
SINGLE = 0.92  # times this sum: the shortest single bond
CLOSEST = 0.6  # times this sum: no nearer
STRONGEST = 25.0  # eV/A: no frame with a larger force on an atom is kept
TURNED, FLUORINATED = 0.5, 1 / 6  # shares of the walks
C_F = 1.35  # A

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Molecules:
    """QM9's geometries."""

    index: NDArray[np.int64]
    smiles: list[str]
    atoms: list[Atoms]


class Walk(NamedTuple):
    """What a walk left: frames, their labels, and why it ended early, if it did."""

    frames: list[Atoms]
    energies: list[float]
    forces: list[Floats]
    ended: str | None


def read_molecules(folder: Path) -> Molecules:
    """Read the molecules that may be trained on."""
    (geometry,), (targets,) = folder.glob("*_geometry.npz"), folder.glob("*_targets.csv.xz")
    stored = np.load(geometry)
    ends = np.cumsum(stored["natoms"].astype(np.int64))[:-1]
    numbers = np.split(stored["Z"].astype(int), ends)
    positions = np.split(stored["pos_microangstrom"] * 1e-6, ends)
    with lzma.open(targets, "rt") as file:
        smiles = [row["smiles"] for row in csv.DictReader(file)]
    atoms = [Atoms(z, pos) for z, pos in zip(numbers, positions, strict=True)]
    left_out = {str(Atoms(formula).symbols.formula.format("hill")) for formula in LEFT_OUT.values()}
    kept = [k for k, one in enumerate(atoms) if one.get_chemical_formula("hill") not in left_out]
    return Molecules(stored["index"][kept].astype(int), [smiles[k] for k in kept], [atoms[k] for k in kept])


def draw(molecules: Molecules, walks: int, rng: np.random.Generator) -> Iterator[int]:
    """Places of molecules to walk from: small ones often, half of the others aromatic."""
    heavy = np.array([(one.numbers > 1).sum() for one in molecules.atoms])
    benzenoid = np.array([word.count("c") >= 6 for word in molecules.smiles])
    aromatic = np.array([any(atom in word for atom in "cno") for word in molecules.smiles])
    small = heavy <= 6
    groups = (0.15, small), (0.1, benzenoid & ~small), (0.3, aromatic & ~benzenoid & ~small), (0.45, ~aromatic & ~small)
    picks = rng.choice(len(groups), size=walks, p=[share for share, _ in groups])
    waiting: list[list[int]] = [[] for _ in groups]
    for group in picks:
        if not waiting[group]:  # each once before any comes again
            waiting[group] = rng.permutation(np.flatnonzero(groups[group][1])).tolist()
        yield waiting[group].pop()


def bonds(atoms: Atoms) -> NDArray[np.bool_]:
    """Which atoms are bonded, by their distance over the sum of their covalent radii."""
    ratio = _ratios(atoms)
    return ratio < BOND


def _ratios(atoms: Atoms) -> Floats:
    """Distances of all pairs over the sums of covalent radii; infinite on the diagonal."""
    radii = covalent_radii[atoms.numbers]
    ratio: Floats = atoms.get_all_distances() / (radii[:, None] + radii)
    np.fill_diagonal(ratio, np.inf)
    return ratio


def fluorinate(atoms: Atoms, rng: np.random.Generator) -> Atoms:
    """A molecule with one to three of its hydrogens at carbon replaced by fluorine."""
    bonded = bonds(atoms)
    made: Atoms = atoms.copy()
    found = [(h, int(c)) for h in np.flatnonzero(atoms.numbers == 1) for c in np.flatnonzero(bonded[h])]
    found = [(h, c) for h, c in found if atoms.numbers[c] == 6]
    for place in rng.permutation(len(found))[: rng.integers(1, 4)]:
        h, c = found[place]
        away = atoms.positions[h] - atoms.positions[c]
        made.positions[h] = atoms.positions[c] + C_F * away / np.linalg.norm(away)
        made.numbers[h] = 9
    return made


def turn(atoms: Atoms, rng: np.random.Generator) -> Atoms:
    """A molecule with one side of a single bond outside rings turned by any angle; itself where there is none."""
    bonded, ratio = bonds(atoms), _ratios(atoms)
    for i, j in rng.permutation(np.argwhere(np.triu(bonded))):
        if min(bonded[i].sum(), bonded[j].sum()) < 2 or ratio[i, j] < SINGLE:
            continue
        cut = bonded.copy()
        cut[i, j] = cut[j, i] = False
        parts = connected_components(cut)[1]
        if parts[i] == parts[j]:
            continue
        for _ in range(10):
            made: Atoms = atoms.copy()
            side = made[parts == parts[j]]
            axis = atoms.positions[j] - atoms.positions[i]
            side.rotate(rng.uniform(-180, 180), axis, center=atoms.positions[j])
            made.positions[parts == parts[j]] = side.positions
            if (_ratios(made)[~bonded] > BOND).all():
                return made
    unturned: Atoms = atoms.copy()
    return unturned


def network(atoms: Atoms) -> Floats:
    """Inverse square root of the Hessian of an elastic network, without rigid motions, in A/sqrt(eV)."""
    n, bonded = len(atoms), bonds(atoms)
    steps = shortest_path(bonded, unweighted=True)
    springs = np.full((n, n), FAR)
    for number, value in SPRINGS.items():
        springs[steps == number] = value
    ratio = _ratios(atoms)
    springs[bonded] *= ratio[bonded] ** -6.0
    np.fill_diagonal(springs, 0.0)
    away = atoms.positions[:, None] - atoms.positions
    dist = np.linalg.norm(away, axis=-1) + np.eye(n)
    unit = away / dist[..., None]
    blocks = springs[..., None, None] * unit[..., :, None] * unit[..., None, :]
    blocks += (SIDEWAYS * springs * bonded)[..., None, None] * np.eye(3)
    hessian = -blocks
    hessian[range(n), range(n)] += blocks.sum(1)
    hessian = hessian.transpose(0, 2, 1, 3).reshape(3 * n, 3 * n)
    centred = atoms.positions - atoms.positions.mean(0)
    rigid = [np.tile(row, n) for row in np.eye(3)] + [np.cross(row, centred).ravel() for row in np.eye(3)]
    left, size, _ = np.linalg.svd(np.array(rigid).T, full_matrices=False)
    left = left[:, size > 1e-6 * size.max()]
    inside = np.eye(3 * n) - left @ left.T
    values, modes = np.linalg.eigh(inside @ hessian @ inside)
    kept = values > 1e-3
    root: Floats = modes[:, kept] / np.sqrt(values[kept]) @ modes[:, kept].T
    return root


def walk(start: Atoms, calculator: Any, temperature: float, rng: np.random.Generator, frames: int = FRAMES) -> Walk:
    """Walk from a molecule; every frame is labelled."""
    root = network(start)
    noise, inverse = np.sqrt(kB * temperature) * root, root @ root
    kept: list[Atoms] = []
    energies: list[float] = []
    forces: list[Floats] = []
    before, after = rng.standard_normal((2, start.positions.size))
    pos = start.positions + (noise @ before).reshape(-1, 3)
    for _ in range(frames):
        atoms = Atoms(start.numbers, pos)
        if _ratios(atoms).min() < CLOSEST:
            return Walk(kept, energies, forces, "atoms too near")
        try:
            found = label(calculator, atoms)
        except NoLabel as error:
            return Walk(kept, energies, forces, f"no label: {str(error)[:60]}")
        if np.linalg.norm(found.forces, axis=1).max() > STRONGEST:
            return Walk(kept, energies, forces, f"a force above {STRONGEST:g} eV/A")
        kept.append(atoms)
        energies.append(found.energy)
        forces.append(found.forces)
        push = STEP * inverse @ found.forces.ravel() + np.sqrt(2 * STEP) * noise @ (before + after) / 2
        pos, before, after = pos + push.reshape(-1, 3), after, rng.standard_normal(pos.size)
    return Walk(kept, energies, forces, None)


def walk_chunk(molecules: Molecules, places: Sequence[int], seeds: Sequence[int], make: Any) -> dict[str, Any]:
    """Walk from several molecules; arrays as they are stored."""
    frames: list[Atoms] = []
    energies: list[float] = []
    forces: list[Floats] = []
    origin: list[int] = []
    ended: Counter[str] = Counter()
    for place, seed in zip(places, seeds, strict=True):
        rng = np.random.default_rng(seed)
        start = molecules.atoms[place]
        if rng.random() < FLUORINATED:
            start = fluorinate(start, rng)
        if rng.random() < TURNED:
            start = turn(start, rng)
        found = walk(start, make(), rng.uniform(*TEMPERATURES), rng)
        frames += found.frames
        energies += found.energies
        forces += found.forces
        origin += [int(molecules.index[place])] * len(found.frames)
        if found.ended is not None:
            ended[found.ended] += 1
    return pack(frames, energies, forces) | {
        "origin": np.array(origin),  # gdb number: held-out molecules are those whose numbers say so
        "ended": np.array([f"{count} x {why}" for why, count in sorted(ended.items())], dtype=np.str_),
        "walks": np.array(len(places)),
    }


def pack(frames: Sequence[Atoms], energies: Sequence[float], forces: Sequence[Floats]) -> dict[str, Any]:
    """Labelled structures as arrays: eV, A."""
    return {
        "natoms": np.array([len(one) for one in frames], dtype=np.int64),
        "z": np.concatenate([one.numbers for one in frames]).astype(np.uint8),
        "pos": np.concatenate([one.positions for one in frames]),
        "energy": np.array(energies),
        "forces": np.concatenate(forces).astype(np.float32),
    }
