"""The record of a dynamics, step by step, and the stop of one that explodes."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ase import Atoms, units
from ase.io.trajectory import Trajectory

from pyg_mpnn.md.bonds import Bonds
from pyg_mpnn.units import GPA

__all__ = ["DynamicsLog", "ExplosionError", "Recorder"]


class ExplosionError(ArithmeticError):
    """A dynamics left everything physical: a number is not finite, or an atom is impossibly fast."""


class DynamicsLog(NamedTuple):
    """The lines of log.csv as columns, per atom and with the potential energy of the start as zero.

    Args:
        time: in ps.
        potential: energy in meV/atom.
        kinetic: energy in meV/atom.
        temperature: in K.
        conserved: the quantity that the dynamics conserves, in meV/atom from the start; None where there is none.
        volume: of the cell in A^3; None where the cell rests.
        pressure: in GPa; None where the cell rests.
    """

    time: np.ndarray
    potential: np.ndarray
    kinetic: np.ndarray
    temperature: np.ndarray
    conserved: np.ndarray | None = None
    volume: np.ndarray | None = None
    pressure: np.ndarray | None = None


class Recorder:
    r"""Writes down a dynamics step by step, and stops one that explodes.

    An explosion is a momentum or energy that is not finite, or an atom whose kinetic energy is above

    .. math:: E_{max} = \max(5 \text{ eV}, \; 50 \, k_B T)

    which is more than a bond holds, and which chance does not reach in thermal equilibrium at the temperature :math:`T`
    (probability about 1e-21 per atom and step). Unlike a bound on the temperature it sees one bad atom among thousands.
    Everything is on disk after each call, so an explosion or an interruption loses nothing. Energies are written with
    all their digits.

    A dynamics that is resumed goes back to its last state and computes again what lies between that and the end of
    the files. Lines and frames that are there are kept; lines are compared, and ``differing`` counts those that came
    out otherwise.

    Args:
        atoms: the structure that the dynamics moves.
        out: folder for log.csv and trajectory.traj.
        timestep: in fs.
        temperature: asked for, in K.
        degrees_of_freedom: that share the kinetic energy, at least 1.
        log_interval: steps from one line of log.csv to the next.
        trajectory_interval: steps from one frame of trajectory.traj to the next.
        conserved: gives the quantity that the dynamics conserves, in eV; None where it is the total energy or there is
            none.
        axes: which cell vectors move, for volume and pressure in the lines; none where None.
        step: of the next call; the files of ``out`` are gone on with. They are begun where None.
        bond_changes: found before.
        look: called with step and time in fs at each line where the cell moves.

    Units:
        energies in eV (of the whole structure), time in fs, temperature in K, volume in A^3, pressure in GPa.

    Raises:
        ExplosionError: when called, if the dynamics has exploded.
        ValueError: files that shall be gone on with do not reach to the step.
    """

    def __init__(
        self,
        atoms: Atoms,
        out: Path,
        timestep: float,
        temperature: float,
        degrees_of_freedom: int,
        *,
        log_interval: int = 1,
        trajectory_interval: int = 10,
        conserved: Callable[[], float] | None = None,
        axes: tuple[bool, bool, bool] | None = None,
        step: int | None = None,
        bond_changes: dict[str, int] | None = None,
        look: Callable[[int, float], None] = lambda step, time: None,
    ) -> None:
        self.atoms = atoms
        self.look = look
        self.out = out
        self.timestep = timestep
        self.degrees_of_freedom = degrees_of_freedom
        self.log_interval = log_interval
        self.trajectory_interval = trajectory_interval
        self.conserved = conserved
        self.axes = None if axes is None else np.array(axes)
        self.max_kinetic_energy = max(5.0, 50 * units.kB * temperature)
        self.step = step or 0
        self.bonds = None if atoms.pbc.any() else Bonds(atoms)
        self.bond_changes = dict(bond_changes or {})
        self.differing = 0
        self.columns = ["step", "time_fs", "potential_eV", "kinetic_eV", "total_eV", "temperature_K"]
        self.columns += [] if conserved is None else ["conserved_eV"]
        self.columns += [] if axes is None else ["volume_A3", "pressure_GPa"]
        log, trajectory, mode = out / "log.csv", out / "trajectory.traj", "w" if step is None else "a"
        self.rows = [] if step is None else _old_rows(log, self.columns, step, log_interval)
        self._frames = 0 if step is None else _num_frames(trajectory, step, trajectory_interval)
        self._csv = open(log, mode, buffering=1, newline="")  # noqa: SIM115  (closed in __exit__)
        self._trajectory = Trajectory(trajectory, mode)
        self._writer = csv.writer(self._csv)
        if step is None:
            self._writer.writerow(self.columns)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *error: object) -> None:
        self._csv.close()
        self._trajectory.close()

    def __call__(self) -> None:
        """Record the present state of the atoms; to be called once at the start and once after each step."""
        self._stop_if_exploded()
        if self.step % self.log_interval == 0:
            self._write_line()
        if self.step % self.trajectory_interval == 0:
            self._write_frame()
        self.step += 1

    def log(self) -> DynamicsLog:
        """Give what was logged.

        Returns:
            The columns.
        """
        columns = dict(zip(self.columns, np.array(self.rows).T, strict=True))
        scale = 1000 / len(self.atoms)
        potential, conserved = columns["potential_eV"], columns.get("conserved_eV")
        return DynamicsLog(
            time=columns["time_fs"] / 1000,
            potential=(potential - potential[0]) * scale,
            kinetic=columns["kinetic_eV"] * scale,
            temperature=columns["temperature_K"],
            conserved=None if conserved is None else (conserved - conserved[0]) * scale,
            volume=columns.get("volume_A3"),
            pressure=columns.get("pressure_GPa"),
        )

    def _write_line(self) -> None:
        potential, kinetic = float(self.atoms.get_potential_energy()), float(self.atoms.get_kinetic_energy())
        temperature = 2 * kinetic / (self.degrees_of_freedom * units.kB)
        row = [self.step, float(f"{self.step * self.timestep:.12g}"), potential, kinetic, potential + kinetic]
        row += [float(f"{temperature:.3f}")]
        if self.conserved is not None:
            row.append(float(self.conserved()))
        if self.axes is not None:
            row += [float(self.atoms.get_volume()), self._pressure()]
            self.look(self.step, self.step * self.timestep)
        index = self.step // self.log_interval
        if index < len(self.rows):
            self.differing += row != self.rows[index]
            return
        self.rows.append(row)
        self._writer.writerow(map(repr, row))

    def _pressure(self) -> float:
        """Mean pressure along the cell vectors that move, that of the kinetic energy included, in GPa."""
        stress = self.atoms.get_stress(voigt=False, include_ideal_gas=True)
        directions = self.atoms.cell.array[self.axes]
        directions = directions / np.linalg.norm(directions, axis=1)[:, None]
        if len(directions) == 3:  # the trace, also where the vectors are not perpendicular
            directions = np.eye(3)
        return float(-np.einsum("ka,ab,kb->k", directions, stress, directions).mean() / GPA)

    def _write_frame(self) -> None:
        if self.step // self.trajectory_interval >= self._frames:
            self._trajectory.write(self.atoms)
        if self.bonds is not None:
            self.bonds.add(self.bond_changes, self.atoms.positions, self.step)

    def _stop_if_exploded(self) -> None:
        momenta = self.atoms.get_momenta()
        kinetic = 0.5 * (momenta**2).sum(axis=1) / self.atoms.get_masses()
        if kinetic.max() <= self.max_kinetic_energy:  # not so where one is not a number
            return
        fastest = int(np.argmax(np.nan_to_num(kinetic, nan=np.inf)))
        raise ExplosionError(
            f"the dynamics exploded at step {self.step} ({self.step * self.timestep:g} fs): the kinetic energy of atom "
            f"{fastest} ({self.atoms.symbols[fastest]}) is {kinetic[fastest]:.3g} eV, the limit "
            f"{self.max_kinetic_energy:.3g} eV; what came before is in {self.out}. Take a smaller timestep, start from "
            f"a relaxed structure, or train on structures like those at the end of the trajectory"
        )


def _old_rows(path: Path, columns: list[str], step: int, interval: int) -> list[list[float]]:
    """The complete lines of an old log; an incomplete last one is cut off the file."""
    content = path.read_bytes()
    end = content.rfind(b"\n") + 1
    if end < len(content):
        with open(path, "r+b") as file:
            file.truncate(end)
    lines = list(csv.reader(content[:end].decode().splitlines()))
    if lines[:1] != [columns] or len(lines) - 1 < -(-step // interval):
        raise ValueError(f"'resume' must find in {path} the columns {', '.join(columns)} up to step {step - 1}")
    return [[int(line[0]), *map(float, line[1:])] for line in lines[1:]]


def _num_frames(path: Path, step: int, interval: int) -> int:
    with Trajectory(path) as trajectory:
        count = len(trajectory)
    if count < -(-step // interval):
        raise ValueError(f"'resume' must find in {path} the frames up to step {step - 1}, got {count}")
    return count
