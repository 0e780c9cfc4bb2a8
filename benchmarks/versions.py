"""Does code that this torch compiles compute what eager evaluation does, and do the laws hold with it?

python -m benchmarks.versions            with the torch of this Python; adds to benchmarks/results/versions.json
python -m benchmarks.versions --quick    nothing compiled: the laws, and what a proof costs
python -m benchmarks.versions --smoke    one law, nothing compiled, nothing written

`make versions` asks several releases, each in an environment of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch_geometric.data import Batch

from benchmarks.gpu import batch
from benchmarks.record import RESULTS, commit, write
from benchmarks.speed.works import silicon
from pyg_mpnn import Potential
from pyg_mpnn.data import ethanol
from pyg_mpnn.deploy import own_process
from pyg_mpnn.deploy.proof import deviations, read_verdict
from pyg_mpnn.deploy.support import CompilationError, code_folder
from pyg_mpnn.deploy.tracing import Kind, trace
from pyg_mpnn.deploy.trials import make_trials, results_of
from pyg_mpnn.testing import LAWS, check_potential, laws

SMALL = {
    "hidden_channels": 8,
    "edge_dim": 4,
    "channels": 2,
    "num_layers": 1,
    "num_radial": 4,
    "l_max": 1,
    "cutoff": 4.0,
}
KINDS = {"energies and forces": (False, False), "stress": (False, True), "training step": (True, False)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    smoke = options.smoke
    torch.set_num_threads(1)
    record = {"commit": commit(), "device": "cpu", "laws": held(smoke), "proof_cpu_seconds": cost(smoke)}
    if smoke:
        print(record)
        return
    path = RESULTS / "versions.json"
    found = {} if options.quick else {kind: compiled(kind) for kind in KINDS}
    known = json.loads(path.read_text()) if path.exists() else {}
    write(path, {**known, torch.__version__: record | {"compiled": found}})


def held(smoke: bool) -> dict[str, str]:
    """The verdict of each law on a potential with random weights, in float64."""
    model = potential().double()
    frames = ethanol("test")[:1]
    report = check_potential(model, frames, dtype=torch.float64, laws=[laws.rotation] if smoke else LAWS)
    return {name: result.verdict for name, result in report.results.items()}


def compiled(kind: str) -> dict[str, Any]:
    """What the proof finds of one kind of compiled code, in a cache of its own."""
    trained, stress = KINDS[kind]
    own_process.LIMIT = 3600.0  # on a machine that others use too
    start, before = time.monotonic(), os.environ.get("PYG_MPNN_CACHE")
    with tempfile.TemporaryDirectory() as cache:
        os.environ["PYG_MPNN_CACHE"] = cache
        reason = ""
        try:
            potential().train(trained).compile("on")(structures(crystal=stress), stress=stress)
        except CompilationError as error:
            reason = str(error)
        folders = [path.parent for path in Path(code_folder()).glob("*/verdict.json")]
        verdicts = [verdict._asdict() for folder in folders if (verdict := read_verdict(folder)) is not None]
        if before is None:
            del os.environ["PYG_MPNN_CACHE"]
        else:
            os.environ["PYG_MPNN_CACHE"] = before
    return {"proven": not reason, "reason": reason, "seconds": round(time.monotonic() - start), "verdicts": verdicts}


def cost(smoke: bool) -> dict[str, float]:
    """CPU seconds of a proof in the user's process, of base: eager results, and those of the graph run by torch.

    Compiled code is faster than that graph, so that these are upper bounds.
    """
    seconds = {}
    for name, (trained, stress) in KINDS.items():
        model = Potential.from_size("small" if smoke else "base").train(trained)
        kind = Kind(trained, stress, stress, 1)
        traced = trace(model, kind, torch.float32, torch.device("cpu"))
        start = time.process_time()
        trials = make_trials(model, traced, kind, torch.float32)
        found = [results_of(lambda tensors: traced.graph(*tensors), trial.tensors, trained) for trial in trials]  # noqa: B023
        deviations(found, trials)
        seconds[name] = round(time.process_time() - start, 2)
    return seconds


def potential() -> Potential:
    """A small potential with a part of each kind."""
    torch.manual_seed(0)
    model = Potential.from_size("small", attention="sigmoid", **SMALL)
    model.set_reference({1: -13.6, 6: -1029.0, 8: -2041.0, 14: -7800.0}, 1.0, [8.0])
    return model


def structures(*, crystal: bool) -> Batch:
    """Two structures."""
    return batch(silicon(1, 1, 1)) if crystal else Batch.from_data_list(ethanol("test")[:2])


if __name__ == "__main__":
    main()
