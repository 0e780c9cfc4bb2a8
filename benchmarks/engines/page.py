"""docs/engines_results.md from the result files: `python -m benchmarks.tables` writes it."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.record import RESULTS

PAGE = RESULTS.parents[1] / "docs" / "engines_results.md"


def build() -> str:
    """The text of the page."""
    record = json.loads((RESULTS / "engines.json").read_text())
    names = {
        "lammps": "LAMMPS",
        "openmm": "OpenMM",
        "ipi": "i-PI",
        "torchsim": "TorchSim",
        "metatomic": "metatomic in ASE",
    }
    rows = [
        "| engine | version | energy | forces | virial | range of the energy in NVE | step beside ASE's | outside |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for engine, found in record["engines"].items():
        both = [found["ethanol"], found["silicon64"]]

        def worst(key: str, both: list[dict[str, Any]] = both) -> str:
            values = [one[key] for one in both if key in one]
            return f"{max(values):.0e}" if values else "-"

        drift = ", ".join(f"{one['nve_range_meV_per_atom']:.2g}" for one in both)
        cost = ", ".join(f"{one['step_over_ase']:.2f}" for one in both)
        shares = [one["share_outside_the_model"] for one in both]
        outside = "-" if None in shares else ", ".join(f"{100 * share:.0f} %" for share in shares)
        rows.append(
            f"| {names[engine]} | {found['version']} | {worst('energy_relative')} | {worst('forces_over_rms')} | "
            f"{worst('virial_relative')} | {drift} | {cost} | {outside} |"
        )
    text = """Beside ASE, in double precision: the largest difference of the energy (relative), of the forces (over
their RMS) and of the virial (relative); the range of the conserved energy over 200 steps of 0.2 fs from 300 K, in
meV/atom; the CPU time of a step over ASE's, not compiled, and what of it is outside the potential (metatomic takes the
derivative itself). Two numbers are ethanol and 64 atoms of silicon. Weights are random, of the small size, cutoff
4 A. Made by `python -m benchmarks.engines.beside_ase` from `benchmarks/results/engines.json`.

"""
    return text + "\n".join(rows) + "\n" + _domains() + _scaling()


def _domains() -> str:
    path = RESULTS / "engines_domains.json"
    if not path.exists():
        return ""
    two = json.loads(path.read_text())["runs"][1]
    compared = two["compared_with_one"]
    clock = "" if (RESULTS / "engines_scaling.json").exists() else "; wall times could not be measured on shared cores"
    gain = compared["work_of_one_over_largest"]
    caches = " (what exceeds 2 is the\ncaches, which hold more of smaller arrays)" if gain > 2 else ""
    layer_bytes = 1e3 * two["kB_per_halo_atom_and_step"] / two["layers"]
    return f"""
LAMMPS on two processes, {two["atoms"]} atoms of silicon, {two["steps"]} steps at 600 K: forces differ from those on one
by {compared["forces_over_rms"]:.0e} of their RMS, positions by {compared["positions_A"]:.0e} A. The work of one process
over the larger of two is {gain:.2f} in CPU time without waiting{caches}{clock}. Each process fetches
{two["halo_atoms_over_own"]:.2f} atoms for each of
its own, {layer_bytes:.0f} bytes for each fetched atom and layer
({layer_bytes * two["halo_atoms_over_own"]:.0f} for each of its own), there and back.
That halo is a surface: with many processes of few atoms each it grows beside the work,
and every layer waits for the slowest process twice, so thousands of atoms a
process are wanted. Made by `python -m benchmarks.engines.domains` (`benchmarks/results/engines_domains.json`).
"""


def _scaling() -> str:
    path = RESULTS / "engines_scaling.json"
    if not path.exists():
        return ""
    record = json.loads(path.read_text())
    again = [RESULTS / f"engines_scaling_{name}.json" for name in ("largest", "latest")]  # later runs, without MACE
    second = [run for file in again if file.exists() for run in json.loads(file.read_text())["scaling"]]
    rows = [
        "",
        "By the clock on two cores, weights random, each process one thread:",
        "",
        "| what | measured |",
        "|---|---|",
    ]
    for run in filter(None, [*record["scaling"], *second]):
        if "gain" not in run:
            rows.append(f"| LAMMPS, {run['atoms']:,} atoms of silicon, two processes over one | not measured |")
            continue
        rows.append(
            f"| LAMMPS, {run['atoms']:,} atoms of silicon, small, float64, eager: two processes over one | "
            f"{run['gain']:.2f} times as fast ({run['ms_per_step'][0]:.0f} and {run['ms_per_step'][1]:.0f} ms a step); "
            f"{run['bytes_per_own_atom_and_layer']:.0f} bytes for each own atom and layer |"
        )
    third = RESULTS / "engines_scaling_mace.json"  # base and MACE on a crystal that the larger MACE can do
    smaller = json.loads(third.read_text()) if third.exists() else {"lammps": [], "mace": {}}
    for run in filter(None, [*record["lammps"], *smaller["lammps"]]):
        rows.append(
            f"| LAMMPS, one process, {run['atoms']:,} atoms of silicon, {run['size']}, {run['dtype']}, "
            f"{'compiled' if run['compile'] == 'on' else 'eager'} | {run['us_per_atom']:.1f} us for an atom and step, "
            f"{100 * run['share_outside_the_model']:.1f} % of it outside the model |"
        )
    for run in filter(None, record["torchsim"]):
        rows.append(
            f"| TorchSim, {run['replicas']} replicas of ethanol, {run['size']}, {run['dtype']}, "
            f"{'compiled' if run['compile'] == 'on' else 'eager'} | {run['ms_per_step']:.1f} ms a step, "
            f"{100 * run['share_outside_the_model']:.1f} % of it outside the model |"
        )
    for name, run in [*record.get("mace", {}).items(), *smaller["mace"].items()]:
        if run is None and smaller["mace"].get(name):
            continue
        found = "not measured" if run is None else f"{run['us_per_atom']:.1f} us for an atom and step"
        atoms = "" if run is None else f" of {run['atoms']:,} atoms"
        rows.append(
            f"| {name} by its ASE calculator, the same crystal{atoms} and cutoff of 5 A, float32, eager | {found} |"
        )
    later = [name for name, made in {"LAMMPS": second, "mace": smaller["mace"]}.items() if made]  # by another run
    left = "".join(f" Left out: {what}." for what in record["left_out"] if not what.startswith(tuple(later)))
    left += " Later runs, in this order: `engines_scaling_largest.json`, `engines_scaling_latest.json`."
    left += " One of the smaller crystal beside MACE: `engines_scaling_mace.json`." if third.exists() else ""
    rows += [
        "",
        f"Made by `python -m benchmarks.engines.scaling` (`benchmarks/results/engines_scaling.json`).{left}",
        "",
    ]
    return "\n".join(rows)
