"""The record of a dynamics, step by step, and the stop of one that explodes."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ase import Atoms, units
from ase.io.trajectory import Trajectory

from pyg_mpnn.md.bonds import Bonds

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
    """

    time: np.ndarray
    potential: np.ndarray
    kinetic: np.ndarray
    temperature: np.ndarray


class Recorder:
    r"""Writes down a dynamics step by step, and stops one that explodes.

    An explosion is a momentum or energy that is not finite, or an atom whose kinetic energy is above

    .. math:: E_{max} = \max(5 \text{ eV}, \; 50 \, k_B T)

    which is more than a bond holds, and which chance does not reach in thermal equilibrium at the temperature :math:`T`
    (probability about 1e-21 per atom and step). Unlike a bound on the temperature it sees one bad atom among thousands.
    Everything is on disk after each call, so an explosion or an interruption loses nothing.

    Args:
        atoms: the structure that the dynamics moves.
        out: folder for log.csv and trajectory.traj.
        timestep: in fs.
        temperature: asked for, in K.
        degrees_of_freedom: that share the kinetic energy, at least 1.
        log_interval: steps from one line of log.csv to the next.
        trajectory_interval: steps from one frame of trajectory.traj to the next.

    Units:
        energies in eV (of the whole structure), time in fs, temperature in K.

    Raises:
        ExplosionError: when called, if the dynamics has exploded.
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
    ) -> None:
        self.atoms = atoms
        self.out = out
        self.timestep = timestep
        self.degrees_of_freedom = degrees_of_freedom
        self.log_interval = log_interval
        self.trajectory_interval = trajectory_interval
        self.max_kinetic_energy = max(5.0, 50 * units.kB * temperature)
        self.step = 0
        self.rows: list[tuple[float, float, float, float]] = []
        self.bonds = None if atoms.pbc.any() else Bonds(atoms)
        self.bond_changes: dict[str, int] = {}
        self._csv = open(out / "log.csv", "w", buffering=1, newline="")  # noqa: SIM115  (closed in __exit__)
        self._trajectory = Trajectory(out / "trajectory.traj", "w")
        self._writer = csv.writer(self._csv)
        self._writer.writerow(["step", "time_fs", "potential_eV", "kinetic_eV", "total_eV", "temperature_K"])

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
        time, potential, kinetic, temperature = np.array(self.rows).T
        scale = 1000 / len(self.atoms)
        return DynamicsLog(time / 1000, (potential - potential[0]) * scale, kinetic * scale, temperature)

    def _write_line(self) -> None:
        potential, kinetic = self.atoms.get_potential_energy(), self.atoms.get_kinetic_energy()
        temperature = 2 * kinetic / (self.degrees_of_freedom * units.kB)
        time = self.step * self.timestep
        self.rows.append((time, potential, kinetic, temperature))
        energies = [f"{energy:.9f}" for energy in (potential, kinetic, potential + kinetic)]
        self._writer.writerow([self.step, f"{time:.6g}", *energies, f"{temperature:.3f}"])

    def _write_frame(self) -> None:
        self._trajectory.write(self.atoms)
        if self.bonds is not None:
            for change in self.bonds.changes(self.atoms.positions):
                self.bond_changes.setdefault(change, self.step)

    def _stop_if_exploded(self) -> None:
        momenta = self.atoms.get_momenta()
        kinetic = 0.5 * (momenta**2).sum(axis=1) / self.atoms.get_masses()
        fastest = int(np.argmax(np.nan_to_num(kinetic, nan=np.inf)))
        if np.isfinite(kinetic).all() and kinetic[fastest] <= self.max_kinetic_energy:
            return
        raise ExplosionError(
            f"the dynamics exploded at step {self.step} ({self.step * self.timestep:g} fs): the kinetic energy of atom "
            f"{fastest} ({self.atoms.symbols[fastest]}) is {kinetic[fastest]:.3g} eV, the limit "
            f"{self.max_kinetic_energy:.3g} eV; what came before is in {self.out}. Take a smaller timestep, start from "
            f"a relaxed structure, or train on structures like those at the end of the trajectory"
        )
