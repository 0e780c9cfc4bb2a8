"""The works: which structures, and whether energies and forces, a training step, dynamics or a neighbour list is timed.

Edges are every pair within the cutoff, from `pyg_mpnn.neighbor_list`, in the order that it gives (by target). All
models get the same file.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch

from pyg_mpnn import neighbor_list
from pyg_mpnn.data import ethanol

Kind = Literal["inference", "training", "dynamics", "neighbors"]
STRUCTURES = Path(__file__).parent / "structures"
LATTICE_CONSTANT = 5.43  # diamond Si, A
BASIS = ((0, 0, 0), (0, 2, 2), (2, 0, 2), (2, 2, 0), (1, 1, 1), (1, 3, 3), (3, 1, 3), (3, 3, 1))  # quarters of it


class Structures(NamedTuple):
    """Molecules one after the other, or one crystal."""

    z: np.ndarray
    num_atoms: np.ndarray
    pos: np.ndarray  # A
    cell: np.ndarray | None = None  # (3, 3), A
    energy: np.ndarray | None = None  # eV
    forces: np.ndarray | None = None  # eV/A


def sample(name: str, count: int) -> Structures:
    """The first molecules of a file in structures/."""
    with np.load(STRUCTURES / f"{name}.npz") as file:
        num_atoms = file["num_atoms"][:count].astype(int)
        atoms = slice(num_atoms.sum())
        energy, forces = (file["energy"][:count], file["forces"][atoms]) if "energy" in file.files else (None, None)
        return Structures(file["z"][atoms], num_atoms, file["pos"][atoms], None, energy, forces)


def replicas(count: int) -> Structures:
    """Frames of ethanol: many walkers of one molecule in one graph."""
    frames = ethanol("test")[:count]
    pos = torch.cat([frame.pos for frame in frames]).numpy()
    return Structures(np.tile(frames[0].z.numpy(), count), np.full(count, len(frames[0].z)), pos)


def silicon(*cubes: int) -> Structures:
    """So many cubic cells of diamond Si along each direction, every coordinate displaced by 0.05 A (seed 0)."""
    corners = np.array(list(itertools.product(*map(range, cubes))))
    sites = (corners[:, None] + np.array(BASIS) / 4).reshape(-1, 3) * LATTICE_CONSTANT
    pos = sites + np.random.default_rng(0).normal(scale=0.05, size=sites.shape)
    return Structures(np.full(len(pos), 14), np.array([len(pos)]), pos, np.diag(cubes) * LATTICE_CONSTANT)


@dataclass(frozen=True)
class WorkType:
    """What is timed, on which structures."""

    kind: Kind
    structures: partial[Structures]
    atoms: int = 0  # of a crystal
    alone: bool = False  # every model in a new process, one after the other: for memory


def _silicon(*cubes: int) -> WorkType:
    return WorkType("inference", partial(silicon, *cubes), 8 * math.prod(cubes), alone=True)


WORKS = {
    "aspirin": WorkType("inference", partial(sample, "aspirin", 1)),
    "aspirin32": WorkType("inference", partial(sample, "aspirin", 32)),
    "qm9-32": WorkType("inference", partial(sample, "qm9", 32)),
    "ethanol64": WorkType("inference", partial(replicas, 64)),
    "train2": WorkType("training", partial(sample, "aspirin", 2)),
    "train8": WorkType("training", partial(sample, "aspirin", 8)),
    "train32": WorkType("training", partial(sample, "aspirin", 32)),
    "dynamics": WorkType("dynamics", partial(sample, "aspirin", 1)),
    "neighbors": WorkType("neighbors", partial(sample, "aspirin", 1)),
    "neighbors32": WorkType("neighbors", partial(sample, "aspirin", 32)),
    "silicon64": _silicon(2, 2, 2),
    "silicon512": _silicon(4, 4, 4),
    "silicon4096": _silicon(8, 8, 8),
    "silicon8000": _silicon(10, 10, 10),
    "silicon32768": _silicon(16, 16, 16),
    "silicon100000": _silicon(25, 25, 20),
    "silicon180000": _silicon(30, 30, 25),
}


def write(folder: Path, name: str, cutoff: float) -> Path:
    """Write the structures of a work with their edges; the file is made once for a name and a cutoff."""
    path = folder / f"{name}-{cutoff}.npz"
    if not path.exists():
        arrays = with_edges(WORKS[name].structures(), cutoff)
        np.savez(path, **arrays)
    return path


def with_edges(structures: Structures, cutoff: float) -> dict[str, np.ndarray]:
    """The arrays of `benchmarks.speed.peers.work.Work`."""
    pos = structures.pos.astype(np.float32)  # the edges are those of the rounded positions
    batch = np.arange(len(structures.num_atoms)).repeat(structures.num_atoms)
    periodic = structures.cell is not None
    cell = structures.cell if structures.cell is not None else np.zeros((3, 3))
    edge_index, shifts = neighbor_list(
        torch.from_numpy(pos).double(),
        cutoff,
        batch=torch.from_numpy(batch),
        cell=torch.from_numpy(cell) if periodic else None,
        pbc=torch.ones(3, dtype=torch.bool) if periodic else None,
    )
    energy = np.zeros(len(structures.num_atoms)) if structures.energy is None else structures.energy
    forces = np.zeros_like(pos) if structures.forces is None else structures.forces
    return {
        "z": structures.z.astype(np.int64),
        "pos": pos,
        "batch": batch,
        "edge_index": edge_index.numpy(),
        "shifts": shifts.numpy(),
        "shift_vec": (shifts.numpy() @ cell).astype(np.float32),
        "cell": cell.astype(np.float32),
        "energy": (energy - energy.mean()).astype(np.float32),
        "forces": forces.astype(np.float32),
    }
