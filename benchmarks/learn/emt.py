"""One command, one structure, EMT, 20 minutes: do the stated 95 % intervals hold 90 to 98 % of the true force errors?

    python -m benchmarks.learn.emt            writes benchmarks/results/learn/emt.json, .png
    python -m benchmarks.learn.emt table      Markdown table of the result
    python -m benchmarks.learn.emt --smoke    a minute, nothing written

``pyg-mpnn learn`` from a cell of Cu3Au (32 atoms), with ASE's EMT as the teacher, until a student has a force error
below the target along its own dynamics, then 10 ps of dynamics of that student at 300 K with 40 labels that nothing was
fitted to. No round begins after --minutes; the certificate comes after that.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.filters import FrechetCellFilter
from ase.io import write as write_structures
from ase.optimize import LBFGS

from benchmarks.record import RESULTS, provenance, write
from pyg_mpnn.learning import LearnSettings, learn

OUT = RESULTS / "learn" / "emt.json"
TINY = {"hidden_channels": 8, "edge_dim": 8, "channels": 2, "l_max": 1, "num_layers": 1}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=("table",))
    parser.add_argument("--target", type=float, default=10.0, help="meV/A")
    parser.add_argument("--minutes", type=float, default=14.0, help="after which no round begins")
    parser.add_argument("--train-minutes", type=float, default=1.0, help="of each member in each round")
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.part == "table":
        print(table())
        return
    least: dict[str, Any] = {"labels": 20, "test_labels": 10, "ps": 0.4, "epochs": 3, "committee": 2, "model": TINY}
    full: dict[str, Any] = {"minutes": options.minutes, "train_minutes": options.train_minutes}
    with tempfile.TemporaryDirectory() as folder:
        start = Path(folder) / "start.xyz"
        write_structures(start, cell(1 if options.smoke else 2))
        settings = LearnSettings(
            {"class": "ase.calculators.emt:EMT"},
            str(start),
            str(Path(folder) / "run"),
            target_force_error=1000.0 if options.smoke else options.target,
            timestep=4.0,
            cutoff=4.5,
            max_labels=56 if options.smoke else 1000,
            threads=1,
            compile="off",
            **(least if options.smoke else full),
        )
        wall, processor = time.perf_counter(), time.process_time()
        found = learn(settings)
        record: dict[str, Any] = {
            "system": "Cu3Au (L1_2), cell of 32 atoms, relaxed with its cell by EMT",
            "units": "as the names say; coverage is the share of errors inside the central interval",
            "target_meV_per_A": settings.target_force_error,
            "reached": found.reached,
            "stopped": found.stopped,
            "wall_minutes": (time.perf_counter() - wall) / 60,
            "processor_minutes_of_the_student": (time.process_time() - processor) / 60,
            "seed": settings.seed,
            "certificate": found.certificate,
            "rounds": found.rounds,
        }
        inside = found.certificate["forces_coverage"]["95%"]
        print(f"{inside:.1%} of the force errors inside the 95% intervals (right: 90 to 98%)")
        if not options.smoke:
            write(OUT, provenance() | record)
            shutil.copy(found.out / "learning.png", OUT.with_suffix(".png"))


def cell(repeats: int) -> Atoms:
    """Cu3Au at the lattice constant of EMT."""
    atoms = bulk("Cu", cubic=True, a=3.75)
    atoms.symbols[0] = "Au"
    atoms.calc = EMT()
    LBFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=1e-4)
    atoms.calc = None
    return atoms * (repeats, repeats, repeats)


def table() -> str:
    """What it took, and what the certificate found."""
    record = json.loads(OUT.read_text())
    rounds, found = record["rounds"], record["certificate"]
    first, tests = rounds[0], [of["test"]["structures"] for of in rounds]
    parts = {
        "to look at the teacher": first["labels"] - first["selected"] - tests[0],
        "displaced": first["selected"],
        "sampled": sum(of["selected"] for of in rounds[1:]),
        f"of {len(tests)} tests": sum(tests),
        "of the certificate": found["structures"],
    }
    inside = ", ".join(f"{100 * share:.0f}" for share in found["forces_coverage"].values())
    reached = "reached" if record["reached"] else f"not reached: {record['stopped']}"
    rmse = f"{found['forces_rmse_meV_per_A']:.1f} meV/Å (target {record['target_meV_per_A']:g}, {reached})"
    minutes = f"{record['processor_minutes_of_the_student']:.1f} minutes, in {record['wall_minutes']:.0f} of wall time"
    rows = {
        "labels": f"{sum(parts.values())}: {', '.join(f'{count} {what}' for what, count in parts.items())}",
        "processor time of the student": minutes,
        f"force RMSE along its own dynamics, {found['ps']:g} ps at 300 K": rmse,
        "force errors inside the 50, 80, 95 % intervals": f"{inside} %",
        "rank correlation of error bars and force errors": f"{found['forces_rank_correlation']:.2f}",
        "energy RMSE, and error bar": f"{found['energy_rmse_meV']:.0f} and {found['energy_std_meV']:.0f} meV",
    }
    return "\n".join(["| | |", "|---|---|", *(f"| {title} | {value} |" for title, value in rows.items())])


if __name__ == "__main__":
    main()
