"""Molecular dynamics from a saved potential and a structure file to a report."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import ase
import numpy as np
import torch
from ase import Atoms
from tqdm import tqdm

from pyg_mpnn.arguments import check_whole
from pyg_mpnn.data.labels import LabelNames, LengthUnit, parse_types
from pyg_mpnn.deploy import threads_for
from pyg_mpnn.engines.evaluator import describe
from pyg_mpnn.files import hold_folder
from pyg_mpnn.md.calculator import PotentialCalculator
from pyg_mpnn.md.constraints import describe_constraints, fix_atoms
from pyg_mpnn.md.drift import EnergyDrift, energy_drift
from pyg_mpnn.md.entrance import (
    cpu_threads,
    density_note,
    empty_folder,
    known_elements,
    note_unlike_trained,
    single_structure,
    trained_volumes,
)
from pyg_mpnn.md.graph_inputs import graph_inputs, names_of_inputs
from pyg_mpnn.md.integrators import Conditions, choose
from pyg_mpnn.md.observables import observe
from pyg_mpnn.md.recorder import DynamicsLog
from pyg_mpnn.md.replicas import Batch, ReplicaCalculator, run_in_turn
from pyg_mpnn.md.resumption import StateFile, digest, read_states
from pyg_mpnn.md.run import Run
from pyg_mpnn.md.summary import DynamicsSummary, summarize, write_summary
from pyg_mpnn.md.watch import Watch, check_watch
from pyg_mpnn.models import EnergyModel, open_potential
from pyg_mpnn.models.checks import choose_device
from pyg_mpnn.models.pretrained import model_file
from pyg_mpnn.units import GPA

__all__ = ["run_dynamics"]

LONG = 10_000
"""Steps from which compiling pays."""

_STEPS_OF_ONE = 20  # by which the time of one replica alone is measured


def run_dynamics(
    model: str | Path,
    structure: str | Path,
    out: str | Path,
    *,
    steps: int = 1000,
    timestep: float = 0.5,
    temperature: float = 300.0,
    ensemble: Literal["nve", "nvt", "npt"] = "nve",
    integrator: str | None = None,
    friction: float | None = None,
    tdamp: float | None = None,
    pressure: str | None = None,
    pdamp: float | None = None,
    axes: list[str] | None = None,
    velocities: Literal["drawn", "file"] = "drawn",
    frame: int = -1,
    fix: list[str] | None = None,
    replicas: int = 1,
    resume: bool = False,
    seed: int = 0,
    skin: float = 0.5,
    dtype: Literal["float32", "float64"] = "float64",
    device: str = "auto",
    log_interval: int = 1,
    trajectory_interval: int = 10,
    threads: int | None = None,
    compile: Literal["auto", "on", "off"] = "auto",
    max_uncertainty: float | None = None,
    on_uncertain: Literal["stop", "store"] = "stop",
    trust: list[str] | None = None,
    length_unit: LengthUnit | None = None,
    types: str | None = None,
) -> DynamicsSummary:
    """Run molecular dynamics with a trained potential, and report on it.

    ASE integrates, and the integrators have ASE's names. NVE is VelocityVerlet. NVT is Langevin, or Bussi or
    NoseHooverChainNVT. NPT is IsotropicMTKNPT (the volume), MaskedMTKNPT (strains along the cell vectors of --axes, for
    a slab those in its plane) or MTKNPT (all strains).

    Velocities are drawn at the temperature, freed of the total momentum (and, for a molecule, of the angular
    momentum) and scaled, so that the degrees of freedom that remain have exactly the temperature asked for; for
    Langevin dynamics, which thermalises the motion of the whole as well, they are drawn only. What the temperature
    of NVE then settles at is up to the structure: by equipartition half of the kinetic energy goes into the
    vibrations, so from a relaxed structure it settles near half of what was asked for, and from a frame of a
    dynamics at T0 near the mean of the two. --velocities file goes on with those of a trajectory.

    After a kill the same command with --resume goes on, to the last bit as if it had not been stopped; with more
    --steps it makes a finished dynamics longer.

    The folder gets trajectory.traj (for ``ase gui`` and ``ase.io.read``), log.csv, summary.json, energy_drift.png,
    state.npz (for --resume), and observables.json and observables.png: g(r) of crystals and liquids and their mean
    squared displacement, and the vibrational density of states, where the trajectory allows them. With --replicas the
    first two files are in a folder of each.

    LAMMPS, in several processes, is the command ``pyg-mpnn md --engine lammps --ranks 2``, whose flags
    ``pyg-mpnn md --engine lammps --help`` shows; ensembles and thermostats there are those of LAMMPS.

    Args:
        model: saved potential or training checkpoint, or Python code of yours as file.py:name or package.module:name.
        structure: any file that training reads (of several frames the last, or see frame), or the word ethanol for the
            first test frame of the shipped sample. Constraints that it has are kept.
        out: folder for the results; must be new or empty, unless resumed.
        steps: number of time steps.
        timestep: in fs.
        temperature: in K.
        ensemble: nve, nvt or npt.
        integrator: name of ASE's class; without it VelocityVerlet, Langevin, IsotropicMTKNPT (of a slab MaskedMTKNPT).
        friction: of the Langevin thermostat, in 1/fs; 0.01 without it.
        tdamp: time constant of the other thermostats in fs (taut of Bussi); 100 time steps without it.
        pressure: of npt with its unit, for instance 1bar or 0.5GPa; 0 without it. Of a slab the mean stress in its
            plane is minus this, by the volume of the cell, vacuum included.
        pdamp: time constant of the barostat in fs; 1000 time steps without it.
        axes: cell vectors a, b, c that MaskedMTKNPT changes; those of the periodic directions without it.
        velocities: drawn at the temperature, or those of the file.
        frame: of the file, counted from 0, or from the end where negative.
        fix: atoms that do not move: indices (3), ranges (0-7), elements (element=Cu), beside those of the file.
        replicas: number of copies, in one graph, with the seeds seed, seed + 1, ...
        resume: go on from the state in out.
        seed: of the random velocities and of the thermostat.
        skin: what the neighbour list holds beyond the cutoff, in A.
        dtype: float64, or float32, which conserves the energy less well.
        device: auto (a GPU if there is one), cpu, cuda or cuda:0.
        log_interval: steps from one line of log.csv to the next.
        trajectory_interval: steps from one frame of trajectory.traj to the next.
        threads: of torch on the CPU; by default one where compiled, else torch's own choice.
        compile: compile energies and forces, once for each kind of potential (minutes): auto for 10,000 steps
            and more where it is possible (on a CPU, with a C++ compiler), on, off.
        max_uncertainty: largest error bar of the force on an atom, in eV/A, for a model with error bars (train
            --committee, calibrate); looked at with each frame of the trajectory, and kept in uncertainty.csv.
        on_uncertain: what happens above: stop, or store and go on; the structure goes to uncertain.xyz.
        trust: code of your own that the model is made of and that may run, for example my_net.py.
        length_unit: unit of positions and cell in the file; angstrom without it.
        types: elements of the numbered types of a LAMMPS file, for instance 1=Cu,2=Ag.

    Returns:
        The summary, also in summary.json.

    Units:
        time in fs, temperature in K, lengths in A, energies in eV (in the summary meV/atom), pressure in GPa.

    Raises:
        ValueError: if an argument is out of its range, the structure has fewer than 2 atoms, cannot have what is asked
            for, or what is resumed is not the same.
        FileNotFoundError: if there is no such structure.
        FileExistsError: if the folder is not empty, or another process works in it.
        ExplosionError: if the dynamics explodes; what was written until then stays.
        UncertainError: if it stops at a structure with too large an error bar.

    Source:
        W. C. Swope et al., J. Chem. Phys. 76, 637 (1982) (velocity Verlet); E. Vanden-Eijnden and G. Ciccotti, Chem.
        Phys. Lett. 429, 310 (2006) (Langevin); G. Bussi et al., J. Chem. Phys. 126, 014101 (2007); G. J. Martyna et
        al., J. Chem. Phys. 97, 2635 (1992) (Nose-Hoover chains) and 101, 4177 (1994) (MTK), all as in ASE.
    """
    settings = dict(locals())
    from pyg_mpnn.md.observables_plot import plot_observables
    from pyg_mpnn.md.plot import plot_energy_drift  # a missing matplotlib is said before the dynamics, not after it

    _check_settings(settings)
    processor = choose_device(device)
    labels = LabelNames(length_unit=length_unit, types=parse_types(types))
    potential = open_potential(model, trust=trust)
    used = [*names_of_inputs(potential), *(["momenta"] if velocities == "file" else [])]
    atoms = single_structure(structure, constraints=True, labels=labels, frame=frame, used=used)
    graph_inputs(potential, atoms, str(structure))  # before a folder is made
    known_elements(potential, atoms, str(structure))
    if velocities == "file" and not atoms.get_momenta().any():
        raise ValueError(f"'velocities' must be drawn, for {structure} has none in this frame, got 'file'")
    fix_atoms(atoms, fix)
    conditions = choose(atoms, settings)
    settings["digests"] = [digest(model_file(model)), digest(structure)]
    folder, step, states = Path(out), 0, None
    if resume:
        step, states, kept = read_states(folder, settings)
        compile = kept["mode"]
        if step >= steps:
            raise ValueError(f"'steps' must be more than the {step} that are done in {folder}, got {steps}")
    else:
        folder = empty_folder(out)
    mode = "off" if compile == "auto" and steps < LONG and not resume else compile
    if mode != compile:
        print(f"Not compiled: it is done for {LONG:,} steps and more (--compile)")
    threads = threads_for(mode, threads)
    check_watch(potential, max_uncertainty, replicas)
    print(f"{_first_line(model, potential, conditions.describe(drawn=velocities == 'drawn'), dtype)}", flush=True)
    runs = [Run(atoms, conditions, seed + number, drawn=velocities == "drawn") for number in range(replicas)]
    for line in _facts(runs, drawn=velocities == "drawn", step=step, folder=folder):
        print(line, flush=True)
    volumes, look = trained_volumes(potential, atoms), _Densities(potential)
    look(atoms)
    with hold_folder(folder), cpu_threads(threads):
        potential.compile(mode)
        calculator = PotentialCalculator(potential, device=processor, dtype=getattr(torch, dtype), skin=skin)
        intervals = {"log_interval": log_interval, "trajectory_interval": trajectory_interval}
        for number, run in enumerate(runs):
            state = None if states is None else states[number]
            if state is not None:
                run.restore(state, step)
            place = folder if replicas == 1 else folder / f"replica_{number:03d}"
            notes = None if state is None else state["notes"]
            run.record(place, notes=notes, look=partial(look, run.atoms), **intervals)
        watch = None
        if max_uncertainty is not None:
            watch = Watch(
                runs[0].atoms,
                calculator,
                folder,
                max_uncertainty,
                stop=on_uncertain == "stop",
                interval=trajectory_interval,
                timestep=timestep,
                step=0 if states is None else step + 1,
            )
            runs[0].watch = watch
        file = StateFile(folder, {**settings, "mode": mode}, steps, count=replicas)
        try:
            measured = _run(runs, calculator, file, skin)
        finally:
            for run in runs:
                run.close()
    log = _mean([run.log() for run in runs])
    drift = _drift(log, conditions)
    summary = summarize(runs, log, drift, trained_volumes=volumes, **measured)
    settings.update(device=str(calculator.device), threads=threads or torch.get_num_threads())
    write_summary(folder / "summary.json", summary, settings)
    title = f"{summary.formula}, {ensemble.upper()} ({conditions.name}), {timestep:g} fs, {dtype}"
    title += f", mean of {replicas} replicas" if replicas > 1 else ""
    plot_energy_drift(folder / "energy_drift.png", log, drift, temperature, title, conditions.pressure / GPA)
    note_unlike_trained(potential, [atoms])
    print(summary if watch is None else f"{summary}\n{watch}")
    written = ["trajectory.traj", "log.csv", "summary.json", "energy_drift.png", "state.npz", "observables.json"]
    found = observe(
        [run.recorder.out / "trajectory.traj" for run in runs if run.recorder], timestep, trajectory_interval
    )
    found.write(folder / "observables.json")
    if found.numbers:
        plot_observables(folder / "observables.png", found.numbers, title)
        written.append("observables.png")
    print(f"{found}\nwritten to {folder}: {', '.join(written)}")
    return summary


class _Densities:
    """Prints once where a structure is denser or less dense than those that its potential was trained on."""

    def __init__(self, potential: EnergyModel) -> None:
        self.potential, self.said = potential, False

    def __call__(self, atoms: Atoms, step: int = 0, time: float = 0.0) -> None:
        text = None if self.said else density_note(self.potential, atoms)
        if text is not None:
            tqdm.write(f"step {step} ({time:g} fs): {text}" if step else text)
            self.said = True


def _first_line(model: str | Path, potential: EnergyModel, conditions: str, dtype: str) -> str:
    """Ensemble, units, potential and the labels of its training, conditions."""
    return (
        f"pyg_mpnn in ASE {ase.__version__}: {conditions}; units eV, A, fs, K; potential "
        f"{describe(model, potential.record)}, {dtype}"
    )


def _facts(runs: list[Run], *, drawn: bool, step: int, folder: Path) -> list[str]:
    """What else there is to say before the first step."""
    atoms, taken = runs[0].atoms, runs[0].taken_out_eV
    dof, whole = runs[0].degrees_of_freedom, 3 * len(atoms)
    lines = [describe_constraints(atoms)] if atoms.constraints else []
    why = "" if dof == whole else ", without those of constraints" if atoms.constraints else ", the whole at rest"
    lines.append(f"degrees of freedom in the temperature: {dof} of {whole}{why}")
    if not drawn:
        lines.append("velocities: those of the file; a thermostat or barostat with a memory begins anew")
        if taken > 0:
            lines.append(f"taken out of them: the motion of the whole, {taken:.3g} eV of kinetic energy")
    if step:
        lines.append(f"resuming in {folder} from the state of step {step}; what lies behind it is computed again")
    return lines


def _check_settings(settings: dict[str, Any]) -> None:
    check_whole(least=0, seed=settings["seed"])
    positive = ("timestep", "temperature", "friction", "tdamp", "pdamp", "log_interval", "trajectory_interval")
    for name in (*positive, "threads", "replicas"):
        if settings[name] is not None and not 0 < settings[name] < float("inf"):
            raise ValueError(f"'{name}' must be positive and finite, got {settings[name]}")
    names = {
        "ensemble": ("nve", "nvt", "npt"),
        "dtype": ("float32", "float64"),
        "compile": ("auto", "on", "off"),
        "velocities": ("drawn", "file"),
        "on_uncertain": ("stop", "store"),
    }
    for name, choices in names.items():
        if settings[name] not in choices:
            raise ValueError(f"'{name}' must be one of {', '.join(choices)}, got {settings[name]!r}")
    if settings["steps"] < 2 * settings["log_interval"]:
        raise ValueError(
            f"'steps' must be at least twice 'log_interval' ({settings['log_interval']}), got {settings['steps']}"
        )


def _run(runs: list[Run], calculator: PotentialCalculator, file: StateFile, skin: float) -> dict[str, Any]:
    """Run to the end; return seconds per step, of one copy alone too, and how often neighbours were searched."""
    first, count = runs[0].dynamics.nsteps, len(runs)
    stress = runs[0].conditions.needs_stress
    calculator.expect("forces", *(["stress"] if stress else []))
    with tqdm(total=file.steps, initial=first, unit="step", disable=None) as bar:  # None: silent without a terminal
        tick: Callable[[int], None] = lambda step: bar.update(step - bar.n)  # noqa: E731
        if count == 1:
            runs[0].atoms.calc = calculator
            runs[0].atoms.get_forces()  # compiled code is made here, before the clock starts
            start = time.perf_counter()
            runs[0].advance(calculator, file, 0, tick)
            rebuilds, of_one = calculator.skin_list.num_rebuilds, None
        else:
            of_one = _time_of_one(runs[0], calculator)
            batch = Batch(calculator.potential, runs[0].atoms, count, skin=skin, stress=stress)
            batch([run.atoms for run in runs])
            start = time.perf_counter()
            run_in_turn([_task(run, file, number, tick) for number, run in enumerate(runs)], batch)
            rebuilds = batch.skin_list.num_rebuilds
        seconds = (time.perf_counter() - start) / (file.steps - first)
    return {"seconds_per_step": seconds, "rebuilds": rebuilds, "seconds_of_one": of_one}


def _task(
    run: Run, file: StateFile, number: int, tick: Callable[[int], None]
) -> Callable[[Callable[[Any], Any]], None]:
    """A copy that runs in turn with others."""
    return lambda ask: run.advance(ReplicaCalculator(ask), file, number, tick if number == 0 else lambda step: None)


def _time_of_one(run: Run, calculator: PotentialCalculator) -> float:
    """Seconds of a step of one copy alone, without output: of a copy of it that is thrown away."""
    alone = Run(run.atoms, run.conditions, 0, drawn=False)
    alone.atoms.calc = calculator
    alone.dynamics.run(2)
    start = time.perf_counter()
    alone.dynamics.run(_STEPS_OF_ONE)
    return (time.perf_counter() - start) / _STEPS_OF_ONE


def _mean(logs: list[DynamicsLog]) -> DynamicsLog:
    """The mean over copies, line by line."""
    if len(logs) == 1:
        return logs[0]
    columns = dict(zip(DynamicsLog._fields, zip(*logs, strict=True), strict=True))
    means: dict[str, Any] = {name: None if of[0] is None else np.mean(of, axis=0) for name, of in columns.items()}
    return DynamicsLog(**means)


def _drift(log: DynamicsLog, conditions: Conditions) -> EnergyDrift | None:
    if conditions.integrator.conserved is None:
        return None
    kept = log.potential + log.kinetic if log.conserved is None else log.conserved
    return energy_drift(log.time, kept)
