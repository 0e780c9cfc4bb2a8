"""Molecular dynamics from a saved potential and a structure file to a report."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from ase import Atoms, units
from ase.md.langevin import Langevin
from ase.md.md import MolecularDynamics
from ase.md.verlet import VelocityVerlet
from tqdm import tqdm

from pyg_mpnn.data.labels import LabelNames, LengthUnit, parse_types
from pyg_mpnn.deploy import threads_for
from pyg_mpnn.md.calculator import PotentialCalculator
from pyg_mpnn.md.drift import energy_drift
from pyg_mpnn.md.entrance import cpu_threads, empty_folder, note_unlike_trained, single_structure
from pyg_mpnn.md.recorder import Recorder
from pyg_mpnn.md.summary import DynamicsSummary, summarize, write_summary
from pyg_mpnn.md.velocities import degrees_of_freedom, remove_drift, thermal_velocities
from pyg_mpnn.models import open_potential

__all__ = ["run_dynamics"]

LONG = 10_000
"""Steps from which compiling pays."""


def run_dynamics(
    model: str | Path,
    structure: str | Path,
    out: str | Path,
    *,
    steps: int = 1000,
    timestep: float = 0.5,
    temperature: float = 300.0,
    ensemble: Literal["nve", "nvt"] = "nve",
    friction: float = 0.01,
    seed: int = 0,
    skin: float = 0.5,
    dtype: Literal["float32", "float64"] = "float64",
    device: str | None = None,
    log_interval: int = 1,
    trajectory_interval: int = 10,
    threads: int | None = None,
    compile: Literal["auto", "on", "off"] = "auto",
    trust: list[str] | None = None,
    length_unit: LengthUnit | None = None,
    types: str | None = None,
) -> DynamicsSummary:
    """Run molecular dynamics with a trained potential, and report on it.

    NVE is velocity Verlet from Maxwell-Boltzmann velocities freed of the total momentum (and, for a molecule, of the
    angular momentum), scaled so that the degrees of freedom that remain have exactly the temperature asked for. What
    the temperature then settles at is up to the structure: by equipartition half of the kinetic energy goes into the
    vibrations, so from a relaxed structure it settles near half of what was asked for, and from a frame of a dynamics
    at T0 near the mean of the two. NVT is Langevin dynamics, which thermalises the motion of the whole as well.

    The folder gets trajectory.traj (for ``ase gui`` and ``ase.io.read``), log.csv, summary.json and energy_drift.png.

    Args:
        model: saved potential or training checkpoint, or Python code of yours as file.py:name or package.module:name.
        structure: any file that training reads (of several frames the last), or the word ethanol for the first test
            frame of the shipped sample.
        out: folder for the results; must be new or empty.
        steps: number of time steps.
        timestep: in fs.
        temperature: in K.
        ensemble: nve (velocity Verlet) or nvt (Langevin).
        friction: of the Langevin thermostat, in 1/fs.
        seed: of the random velocities and of the thermostat.
        skin: what the neighbour list holds beyond the cutoff, in A.
        dtype: float64, or float32, which conserves the energy less well.
        device: for example cuda; by default the CPU.
        log_interval: steps from one line of log.csv to the next.
        trajectory_interval: steps from one frame of trajectory.traj to the next.
        threads: of torch on the CPU; by default one where compiled, else torch's own choice.
        compile: compile energies and forces, once for each kind of potential (minutes): auto for 10,000 steps
            and more where it is possible (on a CPU, with a C++ compiler), on, off.
        trust: code of your own that the model is made of and that may run, for example my_net.py.
        length_unit: unit of positions and cell in the file; angstrom without it.
        types: elements of the numbered types of a LAMMPS file, for instance 1=Cu,2=Ag.

    Returns:
        The summary, also in summary.json.

    Units:
        time in fs, temperature in K, lengths in A, energies in eV (in the summary meV/atom).

    Raises:
        ValueError: if an argument is out of its range, or the structure has fewer than 2 atoms or has constraints.
        FileNotFoundError: if there is no such structure.
        FileExistsError: if the folder is not empty.
        ExplosionError: if the dynamics explodes; what was written until then stays.

    Source:
        W. C. Swope et al., J. Chem. Phys. 76, 637 (1982) (velocity Verlet); E. Vanden-Eijnden and G. Ciccotti, Chem.
        Phys. Lett. 429, 310 (2006) (Langevin), both as in ASE.
    """
    settings = dict(locals())
    from pyg_mpnn.md.plot import plot_energy_drift  # a missing matplotlib is said before the dynamics, not after it

    _check_settings(settings)
    labels = LabelNames(length_unit=length_unit, types=parse_types(types))
    atoms = single_structure(structure, labels=labels)
    mode = "off" if compile == "auto" and steps < LONG else compile
    if mode != compile:
        print(f"Not compiled: it is done for {LONG:,} steps and more (--compile)")
    threads = threads_for(mode, threads)
    potential = open_potential(model, trust=trust)
    folder = empty_folder(out)
    dynamics, dof = _integrator(atoms, timestep, temperature, friction if ensemble == "nvt" else None, seed)
    intervals = {"log_interval": log_interval, "trajectory_interval": trajectory_interval}
    with cpu_threads(threads):
        potential.compile(mode)
        atoms.calc = PotentialCalculator(potential, device=device, dtype=getattr(torch, dtype), skin=skin)
        atoms.get_forces()  # compiled code is made here, before the clock starts
    with cpu_threads(threads), Recorder(atoms, folder, timestep, temperature, dof, **intervals) as recorder:
        steps_per_second = _run(dynamics, recorder, steps)
    log = recorder.log()
    drift = energy_drift(log.time, log.potential + log.kinetic) if ensemble == "nve" else None
    summary = summarize(recorder, steps_per_second, drift)
    settings.update(device=str(atoms.calc.device), threads=threads or torch.get_num_threads())
    write_summary(folder / "summary.json", summary, settings)
    title = f"{summary.formula}, {ensemble.upper()}, {timestep:g} fs, {dtype}"
    plot_energy_drift(folder / "energy_drift.png", log, drift, temperature, title)
    note_unlike_trained(potential, [atoms])
    print(f"{summary}\nwritten to {folder}: trajectory.traj, log.csv, summary.json, energy_drift.png")
    return summary


def _check_settings(settings: dict[str, Any]) -> None:
    for name in ("timestep", "temperature", "friction", "log_interval", "trajectory_interval", "threads"):
        if settings[name] is not None and not 0 < settings[name] < float("inf"):
            raise ValueError(f"'{name}' must be positive and finite, got {settings[name]}")
    names = {"ensemble": ("nve", "nvt"), "dtype": ("float32", "float64"), "compile": ("auto", "on", "off")}
    for name, choices in names.items():
        if settings[name] not in choices:
            raise ValueError(f"'{name}' must be one of {', '.join(choices)}, got {settings[name]!r}")
    if settings["steps"] < 2 * settings["log_interval"]:
        raise ValueError(
            f"'steps' must be at least twice 'log_interval' ({settings['log_interval']}), got {settings['steps']}"
        )


def _integrator(
    atoms: Atoms, timestep: float, temperature: float, friction: float | None, seed: int
) -> tuple[MolecularDynamics, int]:
    """Draw the velocities; return the integrator and the number of degrees of freedom that it moves."""
    rng = np.random.default_rng(seed)
    masses, molecule = atoms.get_masses(), not atoms.pbc.any()
    velocities = thermal_velocities(masses, temperature, rng)
    if friction is not None:
        atoms.set_velocities(velocities)
        # fixcm would keep the total momentum at zero, and the temperature slightly off.
        step, rate = timestep * units.fs, friction / units.fs
        langevin = Langevin(atoms, step, temperature_K=temperature, friction=rate, rng=rng, fixcm=False)
        return langevin, 3 * len(atoms)
    dof = degrees_of_freedom(atoms.positions, masses, rotation=molecule)
    atoms.set_velocities(remove_drift(atoms.positions, velocities, masses, rotation=molecule))
    kinetic = 0.5 * dof * units.kB * temperature
    atoms.set_velocities(atoms.get_velocities() * np.sqrt(kinetic / atoms.get_kinetic_energy()))
    return VelocityVerlet(atoms, timestep * units.fs), dof


def _run(dynamics: MolecularDynamics, recorder: Recorder, steps: int) -> float:
    """Run, and return the steps per second."""
    with tqdm(total=steps, unit="step", disable=None) as bar:  # None: silent where there is no terminal
        dynamics.attach(recorder)
        dynamics.attach(lambda: bar.update(dynamics.nsteps - bar.n))
        start = time.perf_counter()
        dynamics.run(steps)
        return steps / (time.perf_counter() - start)
