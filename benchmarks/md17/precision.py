"""Do the forces stay right under mixed precision? Autocast to bfloat16 beside float32, on a trained potential.

Forces of test frames of rMD17 ethanol with one potential, in float64, float32, and float32 with its matrix products and
linear layers autocast to bfloat16, as mixed-precision training computes them. Asked of mixed precision: that it moves
the forces by less than a tenth of the error that the potential has anyway.

    python -m benchmarks.md17.precision --model run/best.ckpt     writes benchmarks/results/precision.json
    python -m benchmarks.md17.precision --smoke                   random weights, two frames, a temporary folder
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks.record import RESULTS, provenance, write
from pyg_mpnn import Potential
from pyg_mpnn.data import ethanol
from pyg_mpnn.training import Predictions, compute_errors, predict

ALLOWED = 0.1  # of the force error of the potential


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="saved potential or training checkpoint")
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    if not options.smoke and options.model is None:
        parser.error("--model is needed (or --smoke)")
    torch.set_num_threads(1)
    folder = RESULTS
    if options.smoke:
        folder, options.frames = Path(tempfile.mkdtemp()), 2
        options.model = str(folder / "random.pt")
        random_potential().save(options.model)
    write(folder / "precision.json", measure(options.model, options.frames))


def random_potential() -> Potential:
    torch.manual_seed(0)
    potential = Potential.from_size("small", num_layers=1)
    potential.set_reference({1: -13.6, 6: -1029.5, 8: -2042.1}, scale=1.0, neighbors=[8.0])
    return potential


def measure(model: str, count: int) -> dict[str, Any]:
    """Errors of each precision, against the labels and against float64."""
    frames = ethanol("test")[:count]
    modes = {
        "float64": (torch.float64, contextlib.nullcontext()),
        "float32": (torch.float32, contextlib.nullcontext()),
        "bfloat16 autocast": (torch.float32, torch.autocast("cpu", dtype=torch.bfloat16)),
    }
    found: dict[str, Predictions] = {}
    for name, (dtype, context) in modes.items():
        potential = Potential.load(model).to(dtype)
        with context:
            found[name] = predict(potential, frames)
    exact = found["float64"]
    results = {name: compare(predictions, exact) for name, predictions in found.items()}
    moved = results["bfloat16 autocast"]["forces_rms_from_float64_meV_per_A"]
    error = results["float64"]["forces_rmse_meV_per_A"]
    return provenance() | {
        "question": "Do the forces stay right under mixed precision?",
        "model_sha256": hashlib.sha256(Path(model).read_bytes()).hexdigest(),
        "data": f"first {count} test frames of rMD17 ethanol, split 01",
        "units": "in the names",
        "results": results,
        "verdict": {
            "bfloat16_moves_forces_by_this_part_of_their_error": moved / error,
            "allowed": ALLOWED,
            "offered": bool(moved < ALLOWED * error),
        },
    }


def compare(predictions: Predictions, exact: Predictions) -> dict[str, float]:
    """Errors of one precision."""
    errors = compute_errors(predictions)
    moved = predictions.forces - exact.forces
    energy = predictions.energy - exact.energy
    net = predictions.forces.unflatten(0, (len(predictions.energy), -1)).sum(dim=1)
    return {
        "forces_mae_meV_per_A": errors.forces_mae_meV_per_A,
        "forces_rmse_meV_per_A": errors.forces_rmse_meV_per_A,
        "energy_mae_meV": errors.energy_mae_meV,
        "forces_rms_from_float64_meV_per_A": 1e3 * moved.square().mean().sqrt().item(),
        "forces_max_from_float64_meV_per_A": 1e3 * moved.abs().max().item(),
        "energy_rms_from_float64_meV": 1e3 * energy.square().mean().sqrt().item(),
        "net_force_rms_meV_per_A": 1e3 * net.square().mean().sqrt().item(),
    }


if __name__ == "__main__":
    main()
