"""Where does the time of a step of dynamics go: compiled code, the rest of the potential, neighbour list, ASE?

python -m benchmarks.speed.step             one aspirin, base, float32; writes benchmarks/results/step.json
python -m benchmarks.speed.step --smoke     ten eager steps, nothing written
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from ase import Atoms, units
from ase.md.verlet import VelocityVerlet

from benchmarks.record import RESULTS, provenance, write
from benchmarks.speed.works import sample
from pyg_mpnn import Potential, PotentialCalculator

PARTS = ("step", "calculator", "neighbour list", "potential", "compiled code")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    records = [profile("off", 10, 1)] if options.smoke else [profile(mode, 1000, 5) for mode in ("off", "on")]
    if not options.smoke:
        write(RESULTS / "step.json", provenance() | {"structure": "aspirin", "dtype": "float32", "records": records})


def profile(mode: str, steps: int, rounds: int) -> dict[str, Any]:
    """Median milliseconds of each part of a step; a part contains those after it, the neighbour list aside.

    The share of the model is the median over the rounds, beside the least and the largest.
    """
    molecule = sample("aspirin", 1)
    potential = Potential.from_size("base")
    potential.set_reference({1: -13.6, 6: -1029.0, 8: -2041.0}, 1e-3, [14.0])  # weak forces: the molecule stays whole
    atoms = Atoms(molecule.z, molecule.pos, calculator=PotentialCalculator(potential.compile(mode)))  # type: ignore[arg-type]
    atoms.set_velocities(1e-3 * np.random.default_rng(0).normal(size=(len(atoms), 3)))
    dynamics = VelocityVerlet(atoms, 0.5 * units.fs)
    dynamics.run(5)
    times: dict[str, list[float]] = {part: [] for part in PARTS}
    calculator = atoms.calc
    calculator.calculate = timed(calculator.calculate, times["calculator"])
    calculator.skin_list = timed(calculator.skin_list, times["neighbour list"])
    calculator.potential.forward = timed(calculator.potential.forward, times["potential"])
    if mode == "on":
        (entry,) = calculator.potential.compiler._compiled.values()
        entry.run = timed(entry.run, times["compiled code"])
    walk = dynamics.irun(steps * rounds)
    next(walk)  # the state before the first step
    step = timed(lambda: next(walk), times["step"])
    for values in times.values():
        values.clear()
    for _ in range(steps * rounds):
        step()
    medians = {part: 1e3 * statistics.median(values) for part, values in times.items() if values}
    parts = [slice(k * steps, (k + 1) * steps) for k in range(rounds)]
    shares = sorted(statistics.median(times["potential"][k]) / statistics.median(times["step"][k]) for k in parts)
    share = statistics.median(shares)
    print(
        f"compile {mode}: {share:.0%} ({shares[0]:.0%} to {shares[-1]:.0%}) of a step is in the model",
        medians,
        flush=True,
    )
    return {
        "compile": mode,
        "steps": steps,
        "rounds": rounds,
        "share_in_model": share,
        "least_share": shares[0],
        "largest_share": shares[-1],
        "median_ms": medians,
    }


def timed(function: Callable[..., Any], times: list[float]) -> Callable[..., Any]:
    """The function, with the seconds of each call added to a list."""

    def call(*arguments: Any, **options: Any) -> Any:
        start = time.perf_counter()
        result = function(*arguments, **options)
        times.append(time.perf_counter() - start)
        return result

    return call


if __name__ == "__main__":
    main()
