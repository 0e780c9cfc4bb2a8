"""What are error bars worth, and what do they cost? A committee of four and a last layer, on ethanol.

    python -m benchmarks.uncertainty --minutes 2.5 --unlike FILE ...     writes benchmarks/results/uncertainty.json
    python -m benchmarks.uncertainty --smoke                             seconds, nothing written

Four trainings of base on the shipped ethanol (950 frames, and 50 that choose the weights and calibrate), compiled, one
thread. Coverage and rank correlation on the 1000 test frames, and on each FILE of structures unlike those of the
training, of the same level of theory (extrapolations of the ethanol of arXiv:2205.06643: energies alone). Times are
interleaved, processor time.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch_geometric.data import Batch

from benchmarks.record import RESULTS, provenance, write
from pyg_mpnn import RadiusGraph
from pyg_mpnn.data import LabelNames, ethanol
from pyg_mpnn.data.read import load_frames
from pyg_mpnn.models import EnergyModel, UncertainPotential
from pyg_mpnn.training import TrainingSettings, add_error_bars, deviations, reliability, train_committee


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=2.5, help="of each training")
    parser.add_argument("--unlike", nargs="*", default=[], help="files of structures unlike those of the training")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        settings = TrainingSettings(
            "ethanol",
            str(out / "run"),
            test="ethanol",
            size="small" if options.smoke else "base",
            epochs=1 if options.smoke else None,
            minutes=None if options.smoke else options.minutes,
            threads=1,
            compile="off" if options.smoke else "on",
            committee=2 if options.smoke else 4,
            device="cpu",
        )
        committee = train_committee(settings)
        last = add_error_bars([out / "run" / "member-0"], out / "last.pt")
        models = {"committee": committee, "last layer": last}
        record: dict[str, Any] = {
            "data": "ethanol of rMD17, as shipped: 950 + 50 training frames, 1000 test frames",
            "size": settings.size,
            "minutes": settings.minutes,
            "members": settings.committee,
            "seed": settings.seed,
            "units": "eV, eV/A; times in ms of processor time a call",
            "validation": {name: _plain(found.validation) for name, found in models.items()},
            "test": {name: _plain(found.test or {}) for name, found in models.items()},
            "unlike": {},
        }
        for file in options.unlike:
            frames = [frame for frame in load_frames(file, "test", LabelNames()) if len(frame.z) > 1]
            judged = {name: reliability(found.model, deviations(found.model, frames)) for name, found in models.items()}
            record["unlike"][Path(file).name] = {name: _plain(found) for name, found in judged.items()}
            print(Path(file).name, record["unlike"][Path(file).name], flush=True)
        models_only = {name: found.model for name, found in models.items()}
        record["times"] = times(models_only, 2 if options.smoke else options.rounds, compiled=not options.smoke)
    if not options.smoke:
        write(RESULTS / "uncertainty.json", provenance() | record)


def times(models: dict[str, UncertainPotential], rounds: int, *, compiled: bool) -> dict[str, Any]:
    """Milliseconds of one ethanol and of 32, with and without error bars, and the ratio to one potential."""
    plain: EnergyModel = models["last layer"].potentials[0]
    found: dict[str, Any] = {}
    for count in (1, 32):
        frames = [RadiusGraph(plain.cutoff)(frame) for frame in ethanol("test")[:count]]
        batch = Batch.from_data_list(frames)
        for mode in ("off", "on") if compiled else ("off",):
            calls: dict[str, Callable[[], Any]] = {}
            for name, model in {"one potential": plain, **models}.items():
                model.compile(mode)  # type: ignore[arg-type]
                for forces in (False, True):
                    what = f"{'forces' if forces else 'energies'}, {name}"
                    calls[what] = partial(model, batch, forces=forces)
            work = f"{count} ethanol, {'compiled' if mode == 'on' else 'eager'}"
            found[work] = _interleaved(calls, rounds)
            print(work, found[work], flush=True)
    return found


def _interleaved(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, dict[str, float]]:
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 1):
        for name, call in calls.items():
            start = time.process_time()
            call()
            if turn:  # the first is for warming up
                spent[name].append(time.process_time() - start)
    base = {what: spent[f"{what}, one potential"] for what in ("energies", "forces")}
    return {
        name: {
            "ms": 1e3 * statistics.median(values),
            "ratio": statistics.median(
                value / one for value, one in zip(values, base[name.split(",")[0]], strict=True)
            ),
        }
        for name, values in spent.items()
    }


def _plain(judged: dict[str, Any]) -> dict[str, Any]:
    return {name: asdict(found) for name, found in judged.items()}


if __name__ == "__main__":
    main()
