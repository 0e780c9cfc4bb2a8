"""Error bars along a dynamics, and what happens where they are too large."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read, write

from pyg_mpnn.files import write_whole
from pyg_mpnn.md.calculator import PotentialCalculator
from pyg_mpnn.models import UncertainPotential

__all__ = ["UncertainError", "Watch", "check_watch"]

_COLUMNS = ("step", "time_fs", "energy_std_eV", "forces_std_eV_per_A", "atom")


class UncertainError(ArithmeticError):
    """A dynamics came to a structure that its potential does not know."""


def check_watch(potential: object, limit: float | None, replicas: int) -> None:
    """Refuse a limit that cannot be watched.

    Args:
        potential: the model.
        limit: on error bars of forces, in eV/A; None where there is none.
        replicas: number of copies.

    Raises:
        ValueError: a limit that is not positive, a model without error bars, or several copies.
    """
    if limit is None:
        return
    if not 0 < limit < float("inf"):
        raise ValueError(f"'max_uncertainty' must be positive (in eV/A), got {limit}")
    if not isinstance(potential, UncertainPotential):
        raise ValueError(
            "'max_uncertainty' needs a model with error bars, got one without: make it with pyg-mpnn calibrate, or "
            "train --committee"
        )
    if replicas > 1:
        raise ValueError(f"'max_uncertainty' is for one dynamics, got {replicas} replicas: leave one of them out")


class Watch:
    """Evaluates the error bars of every so many steps, apart from the dynamics, whose bits stay what they are.

    Lines go to uncertainty.csv. A structure in which the error bar of the force on an atom is above the limit goes to
    uncertain.xyz, with all error bars, ready to be labelled; then the dynamics stops, or goes on.

    Args:
        atoms: the structure that the dynamics moves.
        calculator: of the potential with error bars.
        out: folder for the files.
        limit: in eV/A.
        stop: whether to stop at the first structure above the limit.
        interval: steps from one evaluation to the next.
        timestep: in fs.
        step: of the next call; what the files hold of this step and later is dropped.

    Units:
        eV and eV/A.

    Raises:
        UncertainError: when called, if the dynamics shall stop.
    """

    def __init__(
        self,
        atoms: Atoms,
        calculator: PotentialCalculator,
        out: Path,
        limit: float,
        *,
        stop: bool,
        interval: int,
        timestep: float,
        step: int = 0,
    ) -> None:
        self.atoms, self.calculator, self.limit, self.stop = atoms, calculator, limit, stop
        self.interval, self.timestep, self.step = interval, timestep, step
        self.lines, self.frames = out / "uncertainty.csv", out / "uncertain.xyz"
        self.stored = 0
        rows: list[list[str]] = []
        if step and self.lines.is_file():
            with self.lines.open(newline="") as file:
                rows = [row for row in csv.reader(file) if row[0].isdigit() and int(row[0]) < step]
        if step and self.frames.is_file():
            kept = [frame for frame in read(self.frames, ":") if frame.info["step"] < step]
            self.stored = len(kept)
            if kept:
                with write_whole(self.frames) as file:
                    write(file, kept, format="extxyz")
            else:
                self.frames.unlink()
        with write_whole(self.lines) as file:
            csv.writer(file).writerows([_COLUMNS, *rows])
        self.largest = max((float(row[3]) for row in rows), default=0.0)

    def __call__(self) -> None:
        """Look at the present structure; to be called once at the start and once after each step."""
        if self.step % self.interval == 0:
            self._look()
        self.step += 1

    def __str__(self) -> str:
        many = f"; {self.stored} structures above {self.limit:g} are in {self.frames}" if self.stored else ""
        return f"largest error bar of a force: {self.largest:.3g} eV/A, each in {self.lines}{many}"

    def _look(self) -> None:
        bars = self.calculator.error_bars(self.atoms)
        of_atoms, energy = bars["forces_std"], float(bars["energy_std"][0])
        worst = int(np.argmax(np.nan_to_num(of_atoms, nan=np.inf)))
        row = [self.step, f"{self.step * self.timestep:g}", f"{energy:.6g}", f"{of_atoms[worst]:.6g}", worst]
        with self.lines.open("a", newline="") as file:
            csv.writer(file).writerow(row)
        self.largest = max(float(of_atoms[worst]), self.largest)  # in this order, so that one that is NaN stays
        if of_atoms[worst] <= self.limit:
            return
        frame = Atoms(self.atoms.symbols, self.atoms.positions, cell=self.atoms.cell, pbc=self.atoms.pbc)
        frame.info.update(step=self.step, predicted_energy_std=energy)
        frame.set_array("predicted_forces_std", of_atoms)
        write(self.frames, frame, append=self.frames.is_file())
        self.stored += 1
        if self.stop:
            raise UncertainError(
                f"the dynamics stopped at step {self.step} ({self.step * self.timestep:g} fs): the error bar of the "
                f"force on atom {worst} ({self.atoms.symbols[worst]}) is {of_atoms[worst]:.3g} eV/A, the limit "
                f"{self.limit:g}; the structure is in {self.frames}: label it, train with it, or go on past such "
                "structures with --on-uncertain store"
            )
