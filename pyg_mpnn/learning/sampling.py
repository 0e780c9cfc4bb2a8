"""Structures that the student does not know: displaced, strained, and from its own dynamics."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import ase.io
import numpy as np
import torch
from ase import Atoms

from pyg_mpnn.files import write_json, write_text
from pyg_mpnn.geometry import covalent_radii, edge_vectors, neighbor_list
from pyg_mpnn.learning.teacher import as_written
from pyg_mpnn.md import ExplosionError, run_dynamics
from pyg_mpnn.md.watch import UncertainError

DISPLACEMENT, STRAIN = 0.08, 0.03  # A and none: the largest standard deviations of coordinates and strains
CLOSEST = 0.6
"""Least distance of two atoms over the sum of their covalent radii; nearer than that no structure is labelled."""

_FRAMES = 100  # of a dynamics, at most


@dataclass(frozen=True)
class Walk:
    """A dynamics of the student.

    Args:
        frames: Its structures, evenly spaced.
        times: In fs.
        largest: Largest error bar of the force on an atom of each, in eV/A.
        ended: Why it stopped before its end, in words; None where it did not.
    """

    frames: list[Atoms]
    times: list[float]
    largest: list[float]
    ended: str | None


def closeness(atoms: Atoms) -> float:
    """Shortest distance of two atoms over the sum of their covalent radii.

    Args:
        atoms: the structure.

    Returns:
        The ratio; infinite where no two atoms are within 2 A of each other.
    """
    pos = torch.tensor(atoms.positions)
    periodic = bool(atoms.pbc.any())
    cell = torch.tensor(atoms.cell.array) if periodic else None
    pbc = torch.tensor(atoms.pbc) if periodic else None
    found = neighbor_list(pos, 2.0, cell=cell, pbc=pbc)
    if found.edge_index.shape[1] == 0:
        return float("inf")
    dist = edge_vectors(pos, found.edge_index, found.shifts, cell=cell).norm(dim=1)
    radii = covalent_radii()[torch.tensor(atoms.numbers)]
    return float((dist / (radii[found.edge_index[0]] + radii[found.edge_index[1]])).min())


def displaced(starts: Sequence[Atoms], count: int, seed: int) -> list[Atoms]:
    """Structures near those to start from: all atoms displaced at random, and cells strained.

    The standard deviations of displacements and strains grow from one to the next, from near zero to 0.08 A and 3 %;
    every other crystal is strained. None is left in its full symmetry, where members of a committee agree. One in which
    two atoms come too near is drawn again, less displaced.

    Args:
        starts: structures near a minimum.
        count: how many to make.
        seed: of the random numbers.

    Returns:
        structures, as they are written.

    Units:
        A.
    """
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        size = (number + 1) / count
        while True:
            atoms = starts[number % len(starts)]
            atoms = strained(atoms, STRAIN * size, rng) if number // len(starts) % 2 == 0 else atoms.copy()
            atoms.positions += DISPLACEMENT * size * rng.standard_normal(atoms.positions.shape)
            if closeness(atoms) > CLOSEST:
                break
            size *= 0.8
        made.append(as_written(atoms))
    return made


def strained(atoms: Atoms, size: float, rng: np.random.Generator) -> Atoms:
    """A crystal with a random symmetric strain of its periodic directions, its atoms moving along.

    Args:
        atoms: structure; one that is not periodic is only copied.
        size: standard deviation of a component.
        rng: source of the random numbers.

    Returns:
        A new structure.
    """
    atoms = atoms.copy()
    if atoms.pbc.any():
        cell = atoms.cell.complete().array
        along = cell[atoms.pbc]
        within = np.linalg.pinv(along) @ along  # onto the periodic directions
        strain = size * rng.standard_normal((3, 3))
        strain = within @ (strain + strain.T) @ within / 2
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    return atoms


def write_structures_file(path: Path, structures: Sequence[Atoms]) -> None:
    """Write structures, whole or not at all.

    Args:
        path: extended XYZ.
        structures: as they are written.
    """
    text = io.StringIO()
    ase.io.write(text, list(structures), format="extxyz")
    write_text(path, text.getvalue())


def read_structures_file(path: Path) -> list[Atoms]:
    """Read what :func:`write_structures_file` wrote.

    Args:
        path: extended XYZ.

    Returns:
        the same structures.
    """
    found = ase.io.read(path, ":", format="extxyz")
    assert isinstance(found, list)
    return found


def read_walk(out: Path) -> Walk | None:
    """Read what came of a dynamics.

    Args:
        out: its folder.

    Returns:
        What :func:`walk` returned; None where it is not complete.
    """
    numbers, frames = out.with_suffix(".json"), out.with_suffix(".xyz")
    if not numbers.is_file():
        return None
    return Walk(read_structures_file(frames), **json.loads(numbers.read_text()))


def walk(
    model: Path,
    start: Atoms,
    out: Path,
    *,
    steps: int,
    timestep: float,
    temperature: float,
    seed: int,
    limit: float | None = None,
    device: str = "auto",
    threads: int | None = None,
    compile: Literal["auto", "on", "off"] = "auto",
    trust: Sequence[str] = (),
) -> Walk:
    """Run Langevin dynamics with a student, by :func:`pyg_mpnn.md.run_dynamics`, or read what came of it.

    Args:
        model: file of a potential with error bars.
        start: structure.
        out: folder for its files; what came of it is beside it, so that a dynamics that is complete is not run again.
        steps: of time.
        timestep: in fs.
        temperature: in K.
        seed: of velocities and thermostat.
        limit: error bar of a force in eV/A at which it stops; none without it.
        device: as of md.
        threads: of torch.
        compile: as of md.
        trust: code of the user's that may run.

    Returns:
        What came of it. A dynamics that explodes is one that stopped.

    Units:
        eV, A, fs, K.
    """
    complete = read_walk(out)
    if complete is not None:
        return complete
    if out.exists():
        shutil.rmtree(out)  # one that was interrupted: it takes less time than it needs care
    out.parent.mkdir(parents=True, exist_ok=True)
    origin = out.with_suffix(".start.xyz")
    write_structures_file(origin, [start])
    ended = None
    with open(out.with_suffix(".txt"), "w") as log, contextlib.redirect_stdout(log):
        try:
            run_dynamics(
                model,
                origin,
                out,
                steps=steps,
                timestep=timestep,
                temperature=temperature,
                ensemble="nvt",
                seed=seed,
                log_interval=max(1, steps // 1000),
                trajectory_interval=max(1, steps // _FRAMES),
                device=device,
                threads=threads,
                compile=compile,
                max_uncertainty=1e6 if limit is None else limit,
                on_uncertain="store" if limit is None else "stop",
                trust=list(trust),
            )
        except (UncertainError, ExplosionError) as error:
            ended = str(error).split("; ")[0]
    frames = [as_written(atoms) for atoms in ase.io.read(out / "trajectory.traj", ":")]
    with (out / "uncertainty.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    count = min(len(frames), len(rows))  # one that explodes is written and not looked at
    times = [float(row["time_fs"]) for row in rows[:count]]
    largest = [float(row["forces_std_eV_per_A"]) for row in rows[:count]]
    write_structures_file(out.with_suffix(".xyz"), frames[:count])
    write_json(out.with_suffix(".json"), {"times": times, "largest": largest, "ended": ended})
    return Walk(frames[:count], times, largest, ended)
