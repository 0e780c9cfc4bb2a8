"""A foundation model distilled for one crystal: CHGNet as the teacher, MgO or CaO, a small student.

    python -m benchmarks.learn.crystal --crystal MgO    writes results/learn/crystal/MgO.json; pip install chgnet
    python -m benchmarks.learn.crystal table            Markdown table of the results
    python -m benchmarks.learn.crystal --smoke          half a minute, EMT and copper in place of CHGNet and an oxide

``pyg-mpnn distill`` gets cells of rock salt (16 atoms) whose volume is changed by up to 6 %, every other one strained
by about 2 %, all displaced by up to 0.15 A, and draws more by the teacher's own dynamics at 300 and 1000 K. Then
equation of state, elastic constants (``benchmarks.periodic.elastic``) and phonons of both, each at its own lattice
constant; phonons by finite displacements in 4 x 4 x 4 primitive cells, without the splitting by charges (LO and TO are
one at Gamma).
"""

from __future__ import annotations

import argparse
import json
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import Calculator
from ase.io import write as write_structures
from ase.phonons import Phonons

from benchmarks.periodic.elastic import equation_of_state, small_strain_constants
from benchmarks.record import RESULTS, provenance, write
from pyg_mpnn import PotentialCalculator
from pyg_mpnn.learning import DistillSettings, distill

FOLDER = RESULTS / "learn" / "crystal"
LENGTHS = {"MgO": 4.2, "CaO": 4.8}  # A, near enough
CHGNET = {"class": "chgnet.model.dynamics:CHGNetCalculator", "use_device": "cpu"}
POINTS = {"Gamma": (0.0, 0.0, 0.0), "X": (0.5, 0.5, 0.0), "L": (0.5, 0.5, 0.5)}
TINY = {"hidden_channels": 8, "edge_dim": 8, "channels": 2, "l_max": 1, "num_layers": 1}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=("table",))
    parser.add_argument("--crystal", choices=LENGTHS, default="MgO")
    parser.add_argument("--cells", type=int, default=60, help="strained and displaced")
    parser.add_argument("--sample", type=int, default=60, help="structures of the teacher's own dynamics")
    parser.add_argument("--epochs", type=int, default=80)
    parser.add_argument("--runs", type=Path, default=Path("runs/crystal"))
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.part == "table":
        print(tables())
    elif options.smoke:
        with tempfile.TemporaryDirectory() as folder:
            options.runs, options.cells, options.sample, options.epochs = Path(folder), 16, 8, 2
            run(options, {"class": "ase.calculators.emt:EMT"}, bulk("Cu", a=3.6))
    else:
        options.runs = options.runs / options.crystal
        run(options, CHGNET, bulk(options.crystal, "rocksalt", a=LENGTHS[options.crystal]))


def run(options: argparse.Namespace, teacher: dict[str, Any], crystal: Atoms) -> None:
    """Distil, then compare."""
    options.runs.mkdir(parents=True, exist_ok=True)
    out = options.runs / "distill"
    cells = options.runs / "cells.xyz"
    if not cells.is_file():
        write_structures(cells, strained_cells(crystal, options.cells))
    length: dict[str, Any] = {"compile": "off", "model": TINY} if options.smoke else {"compile": "on"}
    settings = DistillSettings(
        teacher,
        str(cells),
        str(out),
        sample=options.sample,
        temperature=(300.0, 1000.0),
        timestep=2.0,
        interval=20.0,
        size="small",
        epochs=options.epochs,
        threads=1,
        resume=(out / "state.json").is_file(),
        **length,
    )
    report = distill(settings).report
    calculators = {"teacher": settings.as_teacher.make(), "student": PotentialCalculator(out / "potential.pt")}
    if options.smoke:  # two epochs make no minimum
        calculators["student"] = calculators["teacher"]
    record: dict[str, Any] = {
        "crystal": str(crystal.symbols),
        "teacher": settings.as_teacher.name,
        "units": "as the names say; THz for phonons",
        "report": report,
        "properties": {name: properties(crystal, of, options) for name, of in calculators.items()},
    }
    print(table(record))
    if not options.smoke:
        record = json.loads(json.dumps(record, default=float))  # CHGNet's numbers are of single precision
        write(FOLDER / f"{crystal.symbols}.json", provenance() | {"chgnet": version("chgnet")} | record)


def strained_cells(crystal: Atoms, count: int) -> list[Atoms]:
    """Cells of 2 x 2 x 2 primitive ones (copies of it where it has one atom: 8), each another one."""
    rng = np.random.default_rng(0)
    made = []
    for place in range(count):
        atoms = crystal * (2, 2, 2)
        strain = 0.02 * rng.standard_normal((3, 3))
        stretch = (1 + rng.uniform(-0.06, 0.06)) ** (1 / 3) * np.eye(3) + (strain + strain.T) / 2 * (place % 2)
        atoms.set_cell(atoms.cell.array @ stretch, scale_atoms=True)
        atoms.positions += 0.15 * (place + 1) / count * rng.standard_normal(atoms.positions.shape)
        made.append(atoms)
    return made


def properties(crystal: Atoms, calculator: Calculator, options: argparse.Namespace) -> dict[str, Any]:
    """Equation of state, elastic constants and phonons at the lattice constant of the calculator."""
    states = equation_of_state(crystal, calculator)
    relaxed = crystal.copy()
    factor = (states["volume_A3_per_atom"] * len(crystal) / crystal.get_volume()) ** (1 / 3)
    relaxed.set_cell(crystal.cell * factor, scale_atoms=True)
    constants = small_strain_constants(cubic(relaxed), calculator)
    length = cubic(relaxed).cell.lengths()[0]
    return {"lattice_constant_A": float(length), **states, **constants, "phonons_THz": phonons(relaxed, calculator)}


def cubic(primitive: Atoms) -> Atoms:
    """The cubic cell of a primitive one of a face-centred lattice."""
    length = float(np.sqrt(2) * primitive.cell.lengths()[0])
    if len(primitive) == 1:
        return bulk(str(primitive.symbols), "fcc", a=length, cubic=True)
    return bulk(str(primitive.symbols), "rocksalt", a=length, cubic=True)


def phonons(primitive: Atoms, calculator: Calculator) -> dict[str, list[float]]:
    """Frequencies at points of the Brillouin zone, imaginary ones negative."""
    with tempfile.TemporaryDirectory() as folder:
        found = Phonons(primitive, calculator, supercell=(4, 4, 4), delta=0.02, name=f"{folder}/phonon")
        found.run()
        found.read(acoustic=True)
        return {name: frequencies(found, point) for name, point in POINTS.items()}


def frequencies(found: Phonons, point: tuple[float, ...]) -> list[float]:
    """Of one point."""
    energies = np.sort(found.band_structure([point], verbose=False)[0])  # ASE gives imaginary ones as negative
    return [float(value) for value in np.real(energies) / (1e12 * units._hplanck * units.J)]


def tables() -> str:
    """One table a result file."""
    return "\n\n".join(table(json.loads(path.read_text())) for path in sorted(FOLDER.glob("*.json")))


def table(record: dict[str, Any]) -> str:
    """Teacher and student side by side."""
    teacher, student = (record["properties"][name] for name in ("teacher", "student"))
    rows = [("lattice constant (Å)", "lattice_constant_A", 3), ("bulk modulus (GPa)", "bulk_modulus_GPa", 1)]
    rows += [(f"{name} (GPa)", f"{name}_GPa", 1) for name in ("C11", "C12")] + [("C44 (GPa)", "C44_relaxed_GPa", 1)]
    lines = [f"| {record['crystal']} | teacher | student |", "|---|---|---|"]
    lines += [f"| {title} | {teacher[key]:.{places}f} | {student[key]:.{places}f} |" for title, key, places in rows]
    mean = [f"{(of['C11_GPa'] + 2 * of['C12_GPa']) / 3:.1f}" for of in (teacher, student)]
    lines.append(f"| (C11 + 2 C12) / 3, from stresses (GPa) | {' | '.join(mean)} |")
    for point in POINTS:
        both = [", ".join(f"{value:.1f}" for value in of["phonons_THz"][point]) for of in (teacher, student)]
        lines.append(f"| phonons at {point} (THz) | {both[0]} | {both[1]} |")
    time_of = record["report"]["time"]
    lines.append(
        f"| energy, forces and stress of {time_of['atoms']} atoms (ms) | {time_of['teacher_ms']:.1f} | "
        f"{time_of['student_ms']:.1f} |"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
