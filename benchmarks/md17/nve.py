"""Does dynamics with a trained potential conserve the energy, as exact forces and a second-order integrator must?

NVE (velocity Verlet, float64) of ethanol with time steps of 1, 0.5 and 0.25 fs over 2 ps, from the same positions and
velocities. Asked of it, at 0.5 fs: all bonds as at the start; mean temperature of the last ps 200 to 450 K; drift
(fitted slope of the total energy, with its error) below 0.1 meV/atom/ps; and the RMS fluctuation of the total energy
falls by a factor of 4 (3 to 5) from 0.5 to 0.25 fs, which forces that are no gradient, or have jumps, would not give.

The start decides the temperature, since in NVE nothing else does. By equipartition the kinetic and the vibrational
potential energy end up equal: from a relaxed structure one would have to draw velocities at 600 K to arrive at 300 K.
The start here is a frame of a dynamics at 500 K (the first test frame of the shipped rMD17 sample, chosen by nothing
but its place), which has its share of potential energy already; velocities are drawn at 300 K. The script relaxes the
frame to say how much that is, and what mean temperature a harmonic molecule would arrive at from it.

    python -m benchmarks.md17.nve --model demo/best.ckpt      writes benchmarks/results/nve_ethanol.json and .png
    python -m benchmarks.md17.nve --smoke                     random weights, 0.02 ps, results in a temporary folder
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms, units
from ase.io import read
from ase.optimize import BFGS
from matplotlib.figure import Figure

from benchmarks.record import RESULTS, provenance
from pyg_mpnn import Potential, PotentialCalculator
from pyg_mpnn.md import run_dynamics

TIMESTEPS = (1.0, 0.5, 0.25)  # fs


def main() -> None:
    options = parse_arguments()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        if options.smoke:
            options.model, options.duration = untrained(scratch / "potential.pt"), 0.02
        runs = [run(options, timestep, scratch / f"{timestep}fs") for timestep in TIMESTEPS]
        start = describe_start(options, read(scratch / f"{TIMESTEPS[0]}fs" / "trajectory.traj", 0))
        out = scratch if options.smoke else RESULTS
        out.mkdir(exist_ok=True)
        draw(out / "nve_ethanol.png", runs)
        report = {
            "question": __doc__.split("\n")[0] if __doc__ else "",
            "command": f"python -m benchmarks.md17.nve --model {options.model}",
            **provenance(),
            "seed": options.seed,
            "model_sha256": hashlib.sha256(Path(options.model).read_bytes()).hexdigest(),
            "dtype": "float64",
            "units": "in the names; fluctuation and drift are of the total energy per atom",
            "start": start,
            "runs": [{name: value for name, value in result.items() if name != "log"} for result in runs],
            "verdict": judge(runs),
        }
        (out / "nve_ethanol.json").write_text(json.dumps(report, indent=2) + "\n")
        print(json.dumps({"start": start, "verdict": report["verdict"]}, indent=2))
        print(f"written to {out}: nve_ethanol.json, nve_ethanol.png")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="saved potential or training checkpoint")
    parser.add_argument("--temperature", type=float, default=300.0, help="of the velocities at the start, K")
    parser.add_argument("--duration", type=float, default=2.0, help="ps")
    parser.add_argument("--seed", type=int, default=0, help="of the velocities")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--smoke", action="store_true", help="random weights, 0.02 ps, results in a temporary folder")
    options = parser.parse_args()
    if not options.smoke and options.model is None:
        parser.error("--model is needed (or --smoke)")
    return options


def untrained(path: Path) -> Path:
    torch.manual_seed(0)
    potential = Potential.from_size("small", num_layers=1)
    potential.set_reference({1: -13.6, 6: -1029.5, 8: -2042.1}, scale=1.0, neighbors=[8.0])
    potential.save(path)
    return path


def run(options: argparse.Namespace, timestep: float, out: Path) -> dict[str, Any]:
    """One dynamics: its numbers, and its log as columns."""
    print(f"\n{timestep:g} fs, {options.duration:g} ps")
    summary = run_dynamics(
        options.model,
        "ethanol",
        out,
        steps=round(options.duration * 1000 / timestep),
        timestep=timestep,
        temperature=options.temperature,
        seed=options.seed,
        trajectory_interval=round(4 / timestep),
        threads=options.threads,
    )
    log = np.genfromtxt(out / "log.csv", delimiter=",", names=True)
    last = log["time_fs"] >= log["time_fs"][-1] - 1000
    return {
        "timestep_fs": timestep,
        "steps": len(log) - 1,
        "steps_per_second": summary.steps_per_second,
        "bond_changes": summary.bond_changes,
        "mean_temperature_last_ps_K": log["temperature_K"][last].mean(),
        "drift_meV_per_atom_per_ps": summary.drift_meV_per_atom_per_ps,
        "drift_error_meV_per_atom_per_ps": summary.drift_error_meV_per_atom_per_ps,
        "fluctuation_meV_per_atom": summary.fluctuation_meV_per_atom,
        "log": log,
    }


def describe_start(options: argparse.Namespace, atoms: Atoms) -> dict[str, Any]:
    """Potential energy of the start above the nearest minimum, and the temperature that it leads to."""
    dof = 3 * len(atoms) - 6
    atoms.calc = PotentialCalculator(options.model, dtype=torch.float64)
    energy = atoms.get_potential_energy()
    BFGS(atoms, logfile=None).run(fmax=0.01, steps=5 if options.smoke else 500)
    excess = energy - atoms.get_potential_energy()
    of_vibrations = 2 * excess / (dof * units.kB)
    return {
        "structure": "first test frame of rMD17 ethanol, split 01",
        "temperature_of_velocities_K": options.temperature,
        "potential_energy_above_minimum_eV": excess,
        "temperature_of_vibrations_K": of_vibrations,
        "harmonic_expectation_of_mean_temperature_K": (options.temperature + of_vibrations) / 2,
    }


def judge(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The four criteria, at 0.5 fs."""
    _, coarse, fine = runs
    ratio = coarse["fluctuation_meV_per_atom"] / fine["fluctuation_meV_per_atom"]
    drift, error = coarse["drift_meV_per_atom_per_ps"], coarse["drift_error_meV_per_atom_per_ps"]
    return {
        "bonds_unchanged": not coarse["bond_changes"],
        "temperature_200_to_450_K": bool(200 < coarse["mean_temperature_last_ps_K"] < 450),
        "drift_and_two_errors_below_0.1_meV_per_atom_per_ps": abs(drift) + 2 * error < 0.1,
        "fluctuation_ratio_0.5_to_0.25_fs": ratio,
        "fluctuation_ratio_3_to_5": 3 < ratio < 5,
    }


def draw(path: Path, runs: Sequence[dict[str, Any]]) -> None:
    figure = Figure(figsize=(10, 6), layout="constrained")
    panels = figure.subplot_mosaic("aac;bbc")
    for color, result in enumerate(runs):
        log, timestep = result["log"], result["timestep_fs"]
        time, total = log["time_fs"] / 1000, log["total_eV"] * 1000 / 9
        drift, error = result["drift_meV_per_atom_per_ps"], result["drift_error_meV_per_atom_per_ps"]
        label = f"{timestep:g} fs: {drift:.4f} $\\pm$ {error:.4f}"
        panels["a"].plot(time, total - total.mean(), f"C{color}", lw=0.5)
        panels["a"].plot(time, drift * (time - time.mean()), f"C{color}", lw=2, label=label)
        window = min(round(100 / timestep), len(time))
        mean = f"{timestep:g} fs: {result['mean_temperature_last_ps_K']:.0f} K"
        smooth = [np.convolve(values, np.ones(window) / window, "valid") for values in (time, log["temperature_K"])]
        panels["b"].plot(*smooth, f"C{color}", label=mean)
        panels["c"].loglog(timestep, result["fluctuation_meV_per_atom"], f"C{color}o", ms=9)
        panels["c"].annotate(
            f"{result['fluctuation_meV_per_atom']:.3g}  ",
            (timestep, result["fluctuation_meV_per_atom"]),
            ha="right",
            va="bottom",
        )
    above = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "ncols": 3, "frameon": False, "fontsize": "small"}
    panels["a"].legend(title="time step: drift of the total energy (meV/atom/ps)", **above)
    panels["a"].set(ylabel="total energy - mean (meV/atom)")
    panels["b"].legend(title="time step: mean temperature of the last ps", **above)
    panels["b"].set(xlabel="time (ps)", ylabel="temperature, 0.1 ps means (K)")
    steps = np.array([result["timestep_fs"] for result in runs])
    finest = runs[-1]["fluctuation_meV_per_atom"]
    panels["c"].loglog(steps, finest * (steps / steps[-1]) ** 2, "k--", lw=1, label="time step squared")
    panels["c"].set(xlabel="time step (fs)", ylabel="RMS fluctuation of the total energy (meV/atom)", xlim=(0.14, 1.2))
    panels["c"].set_xticks(steps, [f"{step:g}" for step in steps])
    panels["c"].minorticks_off()
    panels["c"].legend()
    figure.suptitle("NVE of ethanol with a trained potential, float64")
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
