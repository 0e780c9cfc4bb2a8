"""How long do energies and forces take, with ours and with the peers, on the same work in the same run?

    python benchmarks/speed/compare.py --json OUT [--threads 1] [--models ours,schnet] [--works aspirin,train32]
    python benchmarks/speed/compare.py --json OUT --works silicon        time and memory of crystals up to 100,000 atoms
    python benchmarks/speed/compare.py --json OUT --works silicon180000 --models ours --modes low-memory       20 GB
    python benchmarks/speed/compare.py --smoke                           two models, tiny works, nothing written

Every model, in every mode, is a process of its own with the Python of its own environment (`environments.py`). All get
the same structures and edges (`works.py`); a model is checked before it is timed (`peers/checks.py`); what does not run
is a record with an error. Works are timed in rounds over all models, in random order, so that a noisy minute hits all
of them; crystals one model after the other, each in a new process, for the memory. The table and the picture of a
result: `python -m benchmarks.speed.table FILE`, `python -m benchmarks.speed.picture FILE --out PNG`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.record import provenance, write
from benchmarks.speed.environments import ALLOCATOR, DEFAULT, TORCH
from benchmarks.speed.models import MODELS
from benchmarks.speed.peers.worker import LEARNING_RATE, SEED
from benchmarks.speed.runs import Comparison
from benchmarks.speed.works import WORKS

MOLECULES = [name for name in WORKS if not WORKS[name].alone and name != "train2"]
CRYSTALS = [name for name in WORKS if WORKS[name].alone and WORKS[name].atoms <= 100_000]


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory() as folder:
        comparison = Comparison(options, Path(folder), lambda: save(options, comparison))
        comparison.interleaved([name for name in options.works if not WORKS[name].alone])
        if options.defaults:
            comparison.interleaved(
                [name for name in options.works if name in ("aspirin", "aspirin32")], own_cutoff=True
            )
        comparison.one_by_one([name for name in options.works if WORKS[name].alone])
    if not options.json:
        print(json.dumps(comparison.records, indent=2))
    if options.smoke and any("error" in record for record in comparison.records):
        sys.exit("a record has an error")


def save(options: argparse.Namespace, comparison: Comparison) -> None:
    """Write what is known so far: after every work."""
    if not options.json:
        return
    result = provenance() | {
        "threads": options.threads,
        "seed": SEED,
        "units": "in the names; energies in eV, forces in eV/A",
        "training": f"MSE of energies + MSE of forces, fused Adam, learning rate {LEARNING_RATE}, one batch",
        "allocator": ALLOCATOR if options.keep_memory else "as each package leaves it",
        "rounds": options.rounds,
        "clock": "CPU time of the process" if options.cpu_time else "wall",
        "models": {name: MODELS[name].description for name in options.models},
        "environments": comparison.versions,
        "records": comparison.records,
    }
    write(options.json, result)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="result file")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--models", default=",".join(MODELS), help=f"of {', '.join(MODELS)}")
    parser.add_argument("--modes", default="", help="only these, as eager or painn:compiled; else all")
    parser.add_argument("--works", default=",".join(MOLECULES), help=f"of {', '.join(WORKS)}; silicon is all of them")
    parser.add_argument("--defaults", action="store_true", help="aspirin once more, at the peers' own cutoffs")
    parser.add_argument("--keep-memory", action="store_true", help="freed memory is kept for all, as ours does")
    parser.add_argument("--cpu-time", action="store_true", help="of the process, where others use the machine too")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=0.3, help="of a model in a round, at least one call")
    parser.add_argument("--environments", type=Path, default=DEFAULT, help="folder where the peers are installed")
    parser.add_argument("--torch", default=TORCH, help="what pip installs first there, with its options")
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    if options.smoke:
        options.models, options.works, options.modes = "ours-small,schnet", "aspirin,train2", "eager,floor"
        options.rounds, options.seconds = 2, 0.02
    elif not options.json:
        parser.error("--json is needed, or --smoke")
    options.models, options.modes = options.models.split(","), options.modes.split(",") if options.modes else []
    named = options.works.split(",")
    options.works = [name for name in WORKS if name in named or ("silicon" in named and name in CRYSTALS)]
    for name in (*options.models, *named):
        if name not in (*MODELS, *WORKS, "silicon"):
            parser.error(f"no model or work is called {name!r}")
    return options


if __name__ == "__main__":
    main()
