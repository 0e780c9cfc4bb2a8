"""Relaxation of atoms and cell to the nearest minimum of the energy."""

from __future__ import annotations

import csv
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import ase.io
import numpy as np
import torch
from ase import Atoms
from ase.filters import FrechetCellFilter
from ase.io.trajectory import Trajectory
from ase.optimize import BFGS, FIRE
from ase.optimize.optimize import Optimizer

from pyg_mpnn.data.labels import LabelNames, LengthUnit, parse_types
from pyg_mpnn.files import write_whole
from pyg_mpnn.md.calculator import PotentialCalculator
from pyg_mpnn.md.constraints import describe_constraints, fix_atoms
from pyg_mpnn.md.entrance import (
    cpu_threads,
    density_note,
    known_elements,
    new_folder,
    note_unlike_trained,
    single_structure,
)
from pyg_mpnn.md.graph_inputs import graph_inputs, names_of_inputs
from pyg_mpnn.md.summary import write_settings
from pyg_mpnn.models import open_potential
from pyg_mpnn.models.checks import choose_device
from pyg_mpnn.units import GPA

__all__ = ["Relaxation", "run_relaxation"]


@dataclass(frozen=True)
class Relaxation:
    """What came out of a relaxation; ``print`` says it in words.

    Args:
        formula: of the structure.
        converged: whether the largest force (and, with the cell, its gradient) fell below ``fmax``.
        steps: of the optimiser.
        energy_start_eV: before.
        energy_eV: after.
        fmax_eV_per_A: largest force on an atom after; constrained directions do not count.
        max_stress_GPa: largest component of the stress after; None where the cell was kept.
        volume_change: volume after over volume before; None where the cell was kept.
    """

    formula: str
    converged: bool
    steps: int
    energy_start_eV: float
    energy_eV: float
    fmax_eV_per_A: float
    max_stress_GPa: float | None
    volume_change: float | None

    def __str__(self) -> str:
        state = f"relaxed in {self.steps} steps" if self.converged else f"NOT CONVERGED after {self.steps} steps"
        lines = [
            f"{self.formula}: {state}, largest force {self.fmax_eV_per_A:.2g} eV/A",
            f"energy {self.energy_eV:.6f} eV, {self.energy_eV - self.energy_start_eV:+.6f} eV from the start",
        ]
        if self.volume_change is not None:
            lines.append(f"largest stress {self.max_stress_GPa:.2g} GPa, volume x {self.volume_change:.5f}")
        if not self.converged:
            lines.append("give more 'steps', try the other 'optimizer', or go on from relaxed.extxyz")
        return "\n".join(lines)


def run_relaxation(
    model: str | Path,
    structure: str | Path,
    out: str | Path,
    *,
    cell: bool = False,
    fmax: float = 0.01,
    steps: int = 500,
    optimizer: Literal["bfgs", "fire"] = "bfgs",
    fix: list[str] | None = None,
    dtype: Literal["float32", "float64"] = "float64",
    device: str = "auto",
    threads: int | None = None,
    trust: list[str] | None = None,
    length_unit: LengthUnit | None = None,
    types: str | None = None,
) -> Relaxation:
    """Relax the atoms, and on request the cell; the exit code is 3 if it did not converge.

    ASE's optimisers on a trained potential. With ``cell`` the atoms and all strains (six of a crystal, the three in the
    plane of a slab) move at once, until the largest
    force and the gradient with respect to the logarithm of the deformation per atom (in eV) are both below ``fmax``. A
    crystal keeps the symmetry that it starts with, so a saddle point stays one; ``pyg-mpnn vib`` tells. Constraints
    that the file has (fixed atoms) are kept.

    The folder gets relaxed.extxyz (the last structure, with ``converged=F`` where it is not the minimum),
    trajectory.traj (for ``ase gui``), log.csv, summary.json and relaxation.png.

    Args:
        model: saved potential or training checkpoint, or Python code of yours as file.py:name or package.module:name.
        structure: any file that training reads (of several frames the last), or the word ethanol for the first test
            frame of the shipped sample.
        out: folder for the results; must be new or empty.
        cell: relax the cell too, of a crystal or, in its plane, of a slab that lies in a plane of two axes.
        fmax: largest force that counts as none, in eV/A.
        steps: number of steps after which to give up.
        optimizer: bfgs (fewer steps), or fire (more robust far from a minimum, and no matrix of all atoms).
        fix: atoms that do not move: indices (3), ranges (0-7), elements (element=Cu), beside those of the file.
        dtype: float64, or float32, whose rounding may keep the forces above a small ``fmax``.
        device: auto (a GPU if there is one), cpu, cuda or cuda:0.
        threads: of torch on the CPU; by default torch's own choice.
        trust: code of your own that the model is made of and that may run, for example my_net.py.
        length_unit: unit of positions and cell in the file; angstrom without it.
        types: elements of the numbered types of a LAMMPS file, for instance 1=Cu,2=Ag.

    Returns:
        The summary, also in summary.json.

    Units:
        lengths in A, energies in eV, stress in GPa.

    Raises:
        ValueError: if an argument is out of its range, or the cell shall relax of neither a crystal nor a slab.
        FileNotFoundError: if there is no such structure.
        FileExistsError: if the folder is not empty.

    Source:
        A. H. Larsen et al., J. Phys.: Condens. Matter 29, 273002 (2017) (ASE); E. Bitzek et al., Phys. Rev. Lett. 97,
        170201 (2006) (FIRE).
    """
    settings = dict(locals())
    from pyg_mpnn.md.relaxation_plot import plot_relaxation  # a missing matplotlib is said before, not after

    _check_settings(settings)
    place = choose_device(device)
    labels = LabelNames(length_unit=length_unit, types=parse_types(types))
    potential = open_potential(model, trust=trust)
    used = names_of_inputs(potential)
    atoms = single_structure(structure, min_atoms=1, constraints=True, labels=labels, used=used)
    graph_inputs(potential, atoms, str(structure))  # before a folder is made
    known_elements(potential, atoms, str(structure))
    fix_atoms(atoms, fix)
    if atoms.constraints:
        print(describe_constraints(atoms))
    strains = _strains(atoms) if cell else None
    with new_folder(out) as folder:
        atoms.calc = PotentialCalculator(potential, device=place, dtype=getattr(torch, dtype))
        volume = atoms.get_volume() if cell else None
        with cpu_threads(threads):
            rows, converged = _relax(atoms, folder, settings, strains)
        summary = Relaxation(
            formula=atoms.get_chemical_formula(),
            converged=converged,
            steps=len(rows) - 1,
            energy_start_eV=float(rows[0][1]),
            energy_eV=float(rows[-1][1]),
            fmax_eV_per_A=float(rows[-1][2]),
            max_stress_GPa=float(rows[-1][3]) if cell else None,
            volume_change=None if volume is None else float(atoms.get_volume() / volume),
        )
        atoms.info = {**atoms.info, "converged": converged}
        with write_whole(folder / "relaxed.extxyz") as file:
            ase.io.write(file, atoms, format="extxyz")
        write_settings(folder / "summary.json", asdict(summary), settings)
        plot_relaxation(folder / "relaxation.png", rows, fmax, f"{summary.formula}, {optimizer.upper()}")
        note_unlike_trained(potential, [atoms])
        note = density_note(potential, atoms) if cell else None
        if note is not None:
            print(note)
        print(
            f"\n{summary}\nwritten to {folder}: relaxed.extxyz, trajectory.traj, log.csv, summary.json, relaxation.png"
        )
        return summary


def _check_settings(settings: dict[str, Any]) -> None:
    for name in ("fmax", "steps", "threads"):
        if settings[name] is not None and not 0 < settings[name] < float("inf"):
            raise ValueError(f"'{name}' must be positive and finite, got {settings[name]}")
    names = {"optimizer": ("bfgs", "fire"), "dtype": ("float32", "float64")}
    for name, choices in names.items():
        if settings[name] not in choices:
            raise ValueError(f"'{name}' must be one of {', '.join(choices)}, got {settings[name]!r}")


def _strains(atoms: Atoms) -> np.ndarray:
    """Which strains of the cell are free, in Voigt's order: all of a crystal, those in the plane of a slab."""
    if atoms.pbc.sum() < 2 or atoms.cell.rank < 3:
        raise ValueError(
            f"'cell' needs a structure that is periodic in two or three directions, with three cell vectors, got "
            f"pbc {atoms.pbc} with cell {atoms.cell.tolist()}"
        )
    free = np.ones(6)
    if not atoms.pbc.all():
        normal = np.cross(*atoms.cell.array[atoms.pbc])
        across = np.abs(normal) > 1e-6 * np.linalg.norm(normal)
        if across.sum() != 1:
            raise ValueError(f"'cell' needs a slab in the plane of two axes, got one with the normal {normal}: turn it")
        voigt = np.array([[0, 0], [1, 1], [2, 2], [1, 2], [0, 2], [0, 1]])
        free[(voigt == across.argmax()).any(axis=1)] = 0.0
    return free


def _relax(atoms: Atoms, folder: Path, settings: dict[str, Any], strains: np.ndarray | None) -> tuple[np.ndarray, bool]:
    """Run; return step, energy, largest force and largest stress of each step, and whether it converged."""
    rows: list[tuple[float, ...]] = []
    if strains is not None:  # before the first energy: a stress brings energy and forces with it
        atoms.get_stress()
    moved = atoms if strains is None else FrechetCellFilter(atoms, mask=strains)
    optimizer: Optimizer = {"bfgs": BFGS, "fire": FIRE}[settings["optimizer"]](moved, logfile=None)
    header = ["step", "energy_eV", "fmax_eV_per_A", *([] if strains is None else ["max_stress_GPa"])]
    print("  ".join(f"{name:>16}" for name in header))
    with open(folder / "log.csv", "w", buffering=1, newline="") as file:
        writer, trajectory = csv.writer(file), Trajectory(folder / "trajectory.traj", "w")
        writer.writerow(header)

        def record() -> None:
            stress = [] if strains is None else [float(np.abs(strains * atoms.get_stress()).max() / GPA)]
            largest = float(np.linalg.norm(atoms.get_forces(), axis=1).max())
            row = (optimizer.nsteps, float(atoms.get_potential_energy()), largest, *stress)
            rows.append(row)
            texts = [str(row[0]), f"{row[1]:.9f}", *(f"{value:.6f}" for value in row[2:])]
            writer.writerow(texts)
            print("  ".join(f"{text:>16}" for text in texts))
            trajectory.write(atoms)

        optimizer.attach(record)
        try:
            with warnings.catch_warnings():  # ASE's logarithm of the cell: an estimated error of 1e-12 is no news
                warnings.filterwarnings("ignore", "logm result may be inaccurate", RuntimeWarning)
                converged = bool(optimizer.run(fmax=settings["fmax"], steps=settings["steps"]))
        finally:
            trajectory.close()
    return np.array(rows), converged
