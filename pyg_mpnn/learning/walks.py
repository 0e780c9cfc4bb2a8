"""Structures from the teacher's own dynamics: several walks side by side, each step labelled by the teacher."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms, units
from numpy.typing import NDArray

from pyg_mpnn.files import write_whole
from pyg_mpnn.learning.labelling import Labeller
from pyg_mpnn.learning.labels import LabelStore
from pyg_mpnn.learning.sampling import CLOSEST, STRAIN, closeness, strained
from pyg_mpnn.learning.teacher import Label, as_written

KIND = "sampled"
"""What the labels of walks are for, in the files of labels."""

_FRICTION = 0.01  # 1/fs
_LEAP = 0.3  # A in one step, from which a dynamics has exploded
_BROKEN = 5  # times a walk begins anew without a structure in between
_SAID_EVERY = 30.0  # s


@dataclass
class _Walk:
    """Where a walk is; forces are None before its first step."""

    atoms: Atoms
    velocities: NDArray[np.float64]
    forces: NDArray[np.float64] | None = None
    attempt: int = 0
    step: int = 0
    kept: int = 0
    broken: int = 0  # since the last structure that was kept


class Walks:
    r"""Langevin dynamics with the teacher's forces, from which evenly spaced structures are kept with their labels.

    .. math::
        v \leftarrow v + \frac{h}{2} \frac{F}{m}, \quad x \leftarrow x + \frac{h}{2} v, \quad
        v \leftarrow e^{-\gamma h} v + \sqrt{(1 - e^{-2 \gamma h}) \frac{kT}{m}} \, \xi, \quad
        x \leftarrow x + \frac{h}{2} v, \quad v \leftarrow v + \frac{h}{2} \frac{F(x)}{m}

    with the time step h, the friction :math:`\gamma` = 0.01/fs and normal random numbers :math:`\xi` that follow from
    seed, walk and step alone. Positions are rounded to the eight decimals that files have, so that what is kept is what
    was labelled, and no structure is labelled twice. A walk that leaps, comes too close, or to a structure without a
    label begins anew, from another start structure with other velocities; every other one in a crystal is strained.

    Args:
        starts: Structures, as they are written.
        store: Where labels go; the number of a label is that of its sample.
        labeller: The teacher's processes.
        state: File that says where all walks are, so that they go on to the last bit.
        say: Takes a line for the user.
        walks: Number of walks, which use the teacher's processes side by side.
        temperatures: Of the walks in turn, in K.
        timestep: In fs.
        every: Steps from one structure to the next.
        seed: Of velocities, noise and strains.

    Units:
        A, eV, fs, K.

    Source:
        Leimkuhler and Matthews, Appl. Math. Res. Express 2013, 34 (2013), doi:10.1093/amrx/abs010 (BAOAB); the rounding
        and the walks are own design.
    """

    def __init__(
        self,
        starts: Sequence[Atoms],
        store: LabelStore,
        labeller: Labeller,
        state: Path,
        say: Callable[[str], None],
        *,
        walks: int,
        temperatures: Sequence[float],
        timestep: float,
        every: int,
        seed: int,
    ) -> None:
        self.starts, self.store, self.labeller, self.state, self.say = starts, store, labeller, state, say
        self.temperatures = [temperatures[place % len(temperatures)] for place in range(walks)]
        self.timestep, self.every, self.seed = timestep, every, seed
        self.walks = [self._begin(place, 0) for place in range(walks)]
        self._stored = {int(frame.info["round"]) for frame in store.frames([KIND])}
        if state.is_file():
            self._read()

    @property
    def kept(self) -> int:
        """Number of structures so far."""
        return sum(walk.kept for walk in self.walks)

    def run(self, count: int) -> None:
        """Walk until so many structures are labelled.

        Args:
            count: Their number, those of an earlier call included; all walks end with the same step, so up to one for
                each walk more.

        Raises:
            ValueError: A walk breaks off again and again before its first structure; all labels are kept.
            OSError: The disk is full.
        """
        begun, said, before, steps = time.monotonic(), time.monotonic(), self.kept, 0
        while self.kept < count:
            if self._advance():
                self._write()
            steps += 1
            now = time.monotonic()
            if now - said > _SAID_EVERY:
                said, new = now, self.kept - before
                rest = f"; {(now - begun) / new * (count - self.kept) / 60:.1f} min to go" if new else ""
                pace = 1e3 * (now - begun) / steps / len(self.walks)
                self.say(f"sampled {self.kept} of {count}, {pace:.3g} ms a step of each walk{rest}")

    def _advance(self) -> bool:
        """One step of all walks; whether a structure was kept."""
        for place, walk in enumerate(self.walks):
            if walk.forces is not None and (why := self._drift(place, walk)):
                self._break(place, why)
        kept = False
        asked = [walk.atoms for walk in self.walks]
        answers = dict(self.labeller.label(asked))
        for place, atoms in enumerate(asked):
            walk, found = self.walks[place], answers[place]
            if not isinstance(found, Label):
                if not self.store.knows(atoms):
                    self.store.add_failure(atoms, found, KIND, self._number(place))
                self._break(place, found)
                continue
            if walk.forces is not None:
                walk.velocities += 0.5 * self.timestep * units.fs * found.forces / self._masses(walk)
                walk.step += 1
            first = walk.forces is None
            walk.forces = found.forces
            if first or walk.step % self.every:
                continue
            if (near := closeness(atoms)) <= CLOSEST:
                self._break(place, f"two atoms came to {near:.2f} of the sum of their covalent radii")
                continue
            if self._number(place) not in self._stored and not self.store.knows(atoms):
                self.store.add(atoms, found, KIND, self._number(place))
            walk.kept, walk.broken, kept = walk.kept + 1, 0, True
        return kept

    def _drift(self, place: int, walk: _Walk) -> str | None:
        """Half a kick, and the way to the next positions; why it may not be gone."""
        assert walk.forces is not None
        step, masses = self.timestep * units.fs, self._masses(walk)
        kept = np.exp(-_FRICTION * self.timestep)
        thermal = np.sqrt((1 - kept**2) * units.kB * self.temperatures[place] / masses)
        rng = np.random.default_rng([self.seed, place, walk.attempt, walk.step + 1])  # 0 would be the start's
        noise = rng.standard_normal((len(masses), 3))
        walk.velocities += 0.5 * step * walk.forces / masses
        way = 0.5 * step * walk.velocities
        walk.velocities = kept * walk.velocities + thermal * noise
        way += 0.5 * step * walk.velocities
        longest = float(np.linalg.norm(way, axis=1).max())
        if not longest < _LEAP:
            return f"it exploded at {walk.step * self.timestep:g} fs: an atom went {longest:.3g} A in one step"
        walk.atoms = walk.atoms.copy()
        walk.atoms.positions += way
        walk.atoms = as_written(walk.atoms)
        return None

    def _break(self, place: int, why: str) -> None:
        """Begin a walk anew."""
        old = self.walks[place]
        where = f"walk {place} at {self.temperatures[place]:g} K broke off after {old.step * self.timestep:g} fs: {why}"
        if old.broken + 1 >= _BROKEN:
            raise ValueError(
                f"'teacher' must have a dynamics from which structures can be drawn, got {_BROKEN} that broke off one "
                f"after the other; {where}. All labels are kept: resume with a smaller 'timestep' or "
                "a lower 'temperature', or begin from relaxed 'structures'"
            )
        self.say(f"{where}; it begins anew")
        new = self._begin(place, old.attempt + 1)
        new.kept, new.broken = old.kept, old.broken + 1
        self.walks[place] = new

    def _begin(self, place: int, attempt: int) -> _Walk:
        """A walk at its start, with velocities of its temperature."""
        rng = np.random.default_rng([self.seed, place, attempt])
        start = self.starts[self._spread(place, attempt)]
        atoms = as_written(strained(start, 0.5 * STRAIN, rng) if place % 2 else start)
        masses = atoms.get_masses()[:, None]
        velocities = np.sqrt(units.kB * self.temperatures[place] / masses) * rng.standard_normal((len(atoms), 3))
        return _Walk(atoms, velocities, attempt=attempt)

    def _spread(self, place: int, attempt: int) -> int:
        """Number of the start structure: evenly over all, then the next ones."""
        return (place * max(1, len(self.starts) // len(self.temperatures)) + attempt) % len(self.starts)

    def _number(self, place: int) -> int:
        return self.walks[place].kept * len(self.walks) + place

    def _masses(self, walk: _Walk) -> NDArray[np.float64]:
        masses: NDArray[np.float64] = walk.atoms.get_masses()[:, None]
        return masses

    def _write(self) -> None:
        content: dict[str, NDArray[np.float64] | NDArray[np.int64]] = {}
        for place, walk in enumerate(self.walks):
            of = [walk.attempt, walk.step, walk.kept, walk.broken]
            content |= {
                f"{place}-numbers": np.array(of),
                f"{place}-positions": walk.atoms.positions,
                f"{place}-cell": walk.atoms.cell.array,
                f"{place}-velocities": walk.velocities,
            }
            if walk.forces is not None:
                content[f"{place}-forces"] = walk.forces
        memory = io.BytesIO()
        np.savez(memory, **content)  # type: ignore[arg-type]
        with write_whole(self.state, "wb") as file:
            file.write(memory.getvalue())

    def _read(self) -> None:
        with np.load(self.state) as content:
            for place in range(len(self.walks)):
                attempt, step, kept, broken = content[f"{place}-numbers"].tolist()
                walk = self._begin(place, attempt)
                walk.atoms.positions = content[f"{place}-positions"]
                if walk.atoms.pbc.any():
                    walk.atoms.cell[:] = content[f"{place}-cell"]
                walk.velocities = content[f"{place}-velocities"]
                walk.forces = content.get(f"{place}-forces")
                walk.step, walk.kept, walk.broken = step, kept, broken
                self.walks[place] = walk
