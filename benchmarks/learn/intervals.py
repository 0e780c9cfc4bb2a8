"""Intervals from the spread of three potentials: ways to make them, fitted to some labels and judged on others.

    python -m benchmarks.learn.intervals --runs FOLDER   writes benchmarks/results/learn/barrier-intervals.json
    python -m benchmarks.learn.intervals table           Markdown table of the result

FOLDER is what ``benchmarks.learn.barrier`` left. For each of its committees, the labels of that round's test calibrate,
as in the run; those of the certificate judge, to which nothing was fitted, and those of the control: the teacher's own
dynamics from the equilibrium. No label is asked for.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from numpy.typing import NDArray
from scipy.stats import norm
from scipy.stats import t as student

from benchmarks.record import RESULTS, provenance, write
from pyg_mpnn.data import to_data
from pyg_mpnn.learning.labels import LabelStore
from pyg_mpnn.models import Committee, load_potential
from pyg_mpnn.training import Deviations, calibrate, deviations, reliability
from pyg_mpnn.training.uncertainty import fit_prior

OUT = RESULTS / "learn" / "barrier-intervals.json"
WAYS = {
    "spread": "the spread times a factor, normal intervals (as before)",
    "normal": "moderated, normal intervals",
    "moderated": "moderated, Student's intervals",
    "elements": "moderated to the usual spread of each element",
    "constant": "the same bar for all",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=("table",))
    parser.add_argument("--runs", type=Path, default=Path("runs/barrier"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.part == "table":
        print(table())
    else:
        write(OUT, provenance() | compare(options.runs))


def compare(runs: Path) -> dict[str, Any]:
    """All ways, for the committee of each round."""
    folder = runs / "learn"
    rounds = json.loads((folder / "state.json").read_text())["rounds"]
    store = LabelStore(folder)
    judged = {
        "certificate": store.frames(["certificate"], rounds[-1]["round"]),
        "control": LabelStore(runs / "control").frames(["sampled"]),
    }
    found: dict[str, Any] = {
        "units": "eV, eV/A; score: minus the mean logarithm of the density of an error, less is better",
        "structures": {name: len(frames) for name, frames in judged.items()},
        "committees": [],
    }
    for of in rounds:
        fitted = store.frames(["test"], of["round"])
        model = load_potential(folder / f"round-{of['round']}" / "committee" / "committee.pt").eval()
        assert isinstance(model, Committee)
        worth = {name: of_committee(model, fitted, frames) for name, frames in judged.items()}
        found["committees"].append({"round": of["round"], "calibrated_on": len(fitted), **worth})
    return found


def of_committee(model: Committee, fitted: list[Atoms], judged: list[Atoms]) -> dict[str, Any]:
    """What intervals of each way are worth."""
    data = [[to_data(atoms) for atoms in frames] for frames in (fitted, judged)]
    model.set_calibration({})
    before, after = (deviations(model, frames) for frames in data)
    calibrate(model, data[0])
    used = deviations(model, data[1])
    found: dict[str, Any] = {}
    for name, given in used.items():
        errors, rmse = given.errors, _rms(before[name].errors)
        ways = {
            "spread": Deviations(errors, after[name].stds * rmse / _rms(before[name].stds)),
            "normal": Deviations(errors, given.stds),
            "moderated": given,
            "constant": Deviations(errors, np.full_like(errors, rmse)),
        }
        if name == "forces":
            numbers = [np.concatenate([np.repeat(atoms.numbers, 3) for atoms in part]) for part in (fitted, judged)]
            degrees = model.degrees_of_freedom["forces_std"]
            of_fitted, of_judged = by_element(before[name].stds, after[name].stds, *numbers, degrees)
            ways["elements"] = Deviations(errors, of_judged * rmse / _rms(of_fitted), given.degrees)
        calibration = model.calibration[f"{name}_std"]._asdict()
        worth = {way: judgement(model, name, ways[way]) for way in WAYS if way in ways}
        found[name] = {"rmse": _rms(errors), "calibration": calibration, **worth}
    return found


def by_element(
    fitted: NDArray[np.float64],
    judged: NDArray[np.float64],
    z_fitted: NDArray[np.int64],
    z_judged: NDArray[np.int64],
    degrees: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Spreads that are moderated element by element, each with a prior of its own."""
    found = fitted.copy(), judged.copy()
    for z in set(z_fitted.tolist()):
        usual, prior = fit_prior(fitted[z_fitted == z], degrees)
        for spreads, numbers in zip(found, (z_fitted, z_judged), strict=True):
            own = numbers == z
            spreads[own] = np.sqrt((prior * usual**2 + degrees * spreads[own] ** 2) / (prior + degrees))
    return found


def judgement(model: Committee, name: str, given: Deviations) -> dict[str, Any]:
    """Coverage, correlation, score, and errors where error bars are largest."""
    found = reliability(model, {name: given})[name]
    if given.degrees == float("inf"):
        logarithms = norm.logpdf(given.errors, scale=given.stds)
    else:
        logarithms = student.logpdf(given.errors, given.degrees, scale=given.stds * np.sqrt(1 - 2 / given.degrees))
    largest = given.stds >= np.quantile(given.stds, 0.9)
    return {
        "coverage": found.coverage,
        "rank_correlation": found.rank_correlation if np.ptp(given.stds) > 0 else None,
        "score": -float(logarithms.mean()),
        "rms_std": found.rms_std,
        "largest_tenth": {"rms_std": _rms(given.stds[largest]), "rmse": _rms(given.errors[largest])},
    }


def _rms(values: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def table() -> str:
    """Errors of forces inside the intervals of each way, and rank correlations."""
    committees = json.loads(OUT.read_text())["committees"]
    columns = [(of, judged) for judged in ("certificate", "control") for of in committees]
    head = " | ".join(f"{judged}, round {of['round']}" for of, judged in columns)
    lines = [f"| inside 50, 80, 95 %; rank correlation | {head} |", "|---" * (1 + len(columns)) + "|"]
    for way, title in WAYS.items():
        cells = []
        for of, judged in columns:
            found = of[judged]["forces"][way]
            correlation = found["rank_correlation"]
            inside = ", ".join(f"{100 * share:.0f}" for share in found["coverage"].values())
            cells.append(inside if correlation is None else f"{inside}; {correlation:.2f}")
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
