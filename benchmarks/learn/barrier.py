"""A barrier that dynamics from the equilibrium never crosses: the O-H torsion of acetic acid, GFN2-xTB as the teacher.

    python -m benchmarks.learn.barrier            writes benchmarks/results/learn/barrier.json, .png; pip install tblite
    python -m benchmarks.learn.barrier table      Markdown table of the result
    python -m benchmarks.learn.barrier --smoke    half a minute, EMT in place of tblite, nothing written

The start structures are one geometry with its H turned about the C-O bond in steps of 15 degrees, all else left as it
was: what a user makes without a teacher. ``pyg-mpnn learn`` gets them in one file. The control has as many labels, all
of the teacher's own dynamics at 300 K from the equilibrium (``pyg-mpnn distill --sample``), and sees as many structures
in its training as a member of the student's committee. Teacher, student and control each relax the molecule at fixed
torsion, every 5 degrees. Parts that are done are not run again (--runs keeps them).
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
from ase import Atoms
from ase.build import molecule
from ase.calculators.emt import EMT
from ase.constraints import FixInternals
from ase.io import write as write_structures
from ase.optimize import BFGS
from matplotlib.figure import Figure

from benchmarks.record import RESULTS, provenance, write
from pyg_mpnn import PotentialCalculator
from pyg_mpnn.data import to_data
from pyg_mpnn.learning import DistillSettings, LearnSettings, distill, learn
from pyg_mpnn.learning.comparison import seconds_of
from pyg_mpnn.learning.own_teacher import own_teacher
from pyg_mpnn.learning.teacher import Teacher
from pyg_mpnn.models import load_potential
from pyg_mpnn.training import deviations, reliability

OUT = RESULTS / "learn" / "barrier.json"
TORSION, TURNED = (1, 0, 2, 3), 3  # O=C-O-H of ASE's CH3COOH, and the atom that turns
TEACHER = {"class": "tblite.ase:TBLite", "method": "GFN2-xTB", "verbosity": 0}
TINY = {"hidden_channels": 8, "edge_dim": 8, "channels": 2, "l_max": 1, "num_layers": 1}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=("table",))
    parser.add_argument("--target", type=float, default=20.0, help="meV/A")
    parser.add_argument("--max-labels", type=int, default=300)
    parser.add_argument("--epochs", type=int, default=200, help="of each member in each round")
    parser.add_argument("--labels", type=int, default=60, help="of each round")
    parser.add_argument("--runs", type=Path, default=Path("runs/barrier"))
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.part == "table":
        print(table())
        return
    if not options.smoke:
        run(options, TEACHER, range(0, 181, 5))
        return
    with tempfile.TemporaryDirectory() as folder:
        options.runs = Path(folder)
        run(options, {"class": "ase.calculators.emt:EMT"}, range(0, 31, 15))


def run(options: argparse.Namespace, teacher: dict[str, Any], angles: range) -> None:
    """Student, control, and the scans of all three."""
    options.runs.mkdir(parents=True, exist_ok=True)
    calculator = EMT() if options.smoke else LearnSettings(teacher, "", "").as_teacher.make()
    start = equilibrium(calculator)
    write_structures(options.runs / "start.xyz", start)
    write_structures(options.runs / "turned.xyz", [turned(start, angle) for angle in range(0, 181, 15)])
    student = learned(options, teacher)
    labels = student["labels"]
    control = controlled(options, teacher, labels, max(1, round(student["passes"] / labels)))
    scans = {"teacher": scan(start, calculator, angles)}
    for name, folder in (("student", "learn"), ("control", "control")):
        scans[name] = scan(start, PotentialCalculator(options.runs / folder / "potential.pt"), angles)
    record: dict[str, Any] = {
        "system": "acetic acid, O=C-O-H torsion; scan relaxed at fixed torsion, every 5 degrees from 0 to 180",
        "teacher": teacher,
        "units": "eV for energies of the scan, relative to 0 degrees; meV, meV/A and minutes as the names say",
        "labels": labels,
        "student": student,
        "control": control,
        "angles": list(angles),
        "scan": {name: [energy - of["energies"][0] for energy in of["energies"]] for name, of in scans.items()},
        "scan_not_converged": {name: of["not_converged"] for name, of in scans.items()},
    }
    record |= {"barrier_meV": {name: 1e3 * max(values) for name, values in record["scan"].items()}}
    record |= {"other_minimum_meV": {name: 1e3 * values[-1] for name, values in record["scan"].items()}}
    record["along_the_scan"] = along(options, scans["student"]["frames"], calculator)
    print(json.dumps({name: record[name] for name in ("barrier_meV", "other_minimum_meV", "along_the_scan")}, indent=1))
    if not options.smoke:
        record["time_ms"] = times(options, teacher, scans["student"]["frames"][:5])
        write(OUT, provenance() | {"tblite": version("tblite")} | record)
        draw(record, OUT.with_suffix(".png"))


def equilibrium(calculator: Any) -> Atoms:
    """Acetic acid at the minimum of the teacher."""
    atoms = molecule("CH3COOH", calculator=calculator)
    BFGS(atoms, logfile=None).run(fmax=0.01, steps=200)
    atoms.calc = None
    return atoms


def turned(start: Atoms, angle: float) -> Atoms:
    """The same with another torsion, all else left as it is."""
    atoms = start.copy()
    atoms.set_dihedral(*TORSION, angle, indices=[TURNED])
    return atoms


def learned(options: argparse.Namespace, teacher: dict[str, Any]) -> dict[str, Any]:
    """The student, from the turned structures."""
    done, out = options.runs / "learn.json", options.runs / "learn"
    if done.is_file():
        found: dict[str, Any] = json.loads(done.read_text())
        return found
    full: dict[str, Any] = {
        "max_labels": options.max_labels,
        "epochs": options.epochs,
        "labels": options.labels,
        "timestep": 1.0,
        "compile": "on",
        "target_force_error": options.target,
    }
    least: dict[str, Any] = {
        "labels": 26,
        "test_labels": 10,
        "ps": 0.2,
        "epochs": 2,
        "committee": 2,
        "model": TINY,
        "compile": "off",
    }
    if options.smoke:
        full = least | {"target_force_error": 1e4, "max_labels": 62}
    settings = LearnSettings(
        teacher,
        str(options.runs / "turned.xyz"),
        str(out),
        threads=1,
        resume=(out / "state.json").is_file(),
        **full,
    )
    result = learn(settings)
    state = json.loads((out / "state.json").read_text())
    found = {
        "reached": result.reached,
        "stopped": result.stopped,
        "target_meV_per_A": settings.target_force_error,
        "minutes": state["seconds"] / 60,
        "passes": settings.epochs * sum(of["trained_on"] for of in result.rounds),
        "members": settings.committee,
        "seed": settings.seed,
        "labels": result.rounds[-1]["labels"],
        "certificate": result.certificate,
        "rounds": result.rounds,
    }
    write(done, found)
    return found


def controlled(options: argparse.Namespace, teacher: dict[str, Any], labels: int, epochs: int) -> dict[str, Any]:
    """A potential of as many labels of the teacher's dynamics from the equilibrium, that saw as many structures."""
    done, out = options.runs / "control.json", options.runs / "control"
    if done.is_file():
        found: dict[str, Any] = json.loads(done.read_text())
        return found
    full: dict[str, Any] = {"model": TINY, "compile": "off"} if options.smoke else {"compile": "on"}
    settings = DistillSettings(
        teacher,
        str(options.runs / "start.xyz"),
        str(out),
        sample=labels - 1,  # beside the start
        interval=0.5 if options.smoke else 20.0,
        epochs=epochs,
        threads=1,
        resume=(out / "state.json").is_file(),
        **full,
    )
    report = distill(settings).report
    found = {name: report[name] for name in ("structures", "student against teacher")} | {"epochs": epochs}
    write(done, found)
    return found


def scan(start: Atoms, calculator: Any, angles: range) -> dict[str, Any]:
    """Relax at fixed torsion, each from the structure before."""
    atoms = start.copy()
    found: dict[str, Any] = {"energies": [], "frames": [], "not_converged": 0}
    for angle in angles:
        atoms.set_constraint()
        atoms = turned(atoms, angle)
        atoms.calc = calculator
        atoms.set_constraint(FixInternals(dihedrals_deg=[[angle, list(TORSION)]], epsilon=1e-8))
        found["not_converged"] += not BFGS(atoms, logfile=None).run(fmax=0.01, steps=5 if len(angles) < 5 else 300)
        found["energies"].append(float(atoms.get_potential_energy()))
        kept = atoms.copy()
        kept.set_constraint()
        found["frames"].append(kept)
    return found


def along(options: argparse.Namespace, frames: list[Atoms], calculator: Any) -> dict[str, Any]:
    """What the student's errors and error bars are on its own scan."""
    data = []
    for atoms in frames:
        atoms.calc = calculator
        atoms.get_forces()
        data.append(to_data(atoms))
    model = load_potential(options.runs / "learn" / "potential.pt").eval()
    found = reliability(model, deviations(model, data))["forces"]
    return {"forces_rmse_meV_per_A": 1e3 * found.rmse, "forces_coverage": found.coverage}


def times(options: argparse.Namespace, teacher: dict[str, Any], frames: list[Atoms]) -> dict[str, float]:
    """Energy and forces by ASE calculators, each in a process of its own."""
    log = options.runs / "times.txt"
    plain = [Atoms(atoms.numbers, atoms.positions) for atoms in frames]
    arguments = dict(teacher)
    found = {"teacher": Teacher(arguments.pop("class"), arguments)}
    for name, folder in (("student, three potentials", "learn"), ("control, one potential", "control")):
        file = str(options.runs / folder / "potential.pt")
        found[name] = own_teacher(file, threads=1, compile="on")
    return {name: 1e3 * seconds_of(of, plain, log)[0] for name, of in found.items()}


def table() -> str:
    """Barrier and other minimum of teacher, student and control."""
    record = json.loads(OUT.read_text())
    lines = ["| meV | teacher | student | control |", "|---|---|---|---|"]
    for title, name in (("barrier", "barrier_meV"), ("other minimum (180°)", "other_minimum_meV")):
        values = " | ".join(f"{record[name][of]:.0f}" for of in ("teacher", "student", "control"))
        lines.append(f"| {title} | {values} |")
    return "\n".join(lines)


def draw(record: dict[str, Any], path: Path) -> None:
    """Energy along the scans."""
    figure = Figure(figsize=(5, 3.4), layout="constrained")
    axes = figure.add_subplot()
    for name, style in (("teacher", "k-"), ("student", "C0o"), ("control", "C3x")):
        axes.plot(record["angles"], record["scan"][name], style, label=name, markersize=4)
    axes.set(xlabel="torsion O=C-O-H (degrees)", ylabel="energy (eV)", xticks=np.arange(0, 181, 30))
    axes.legend()
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
