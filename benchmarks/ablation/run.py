"""Which building block pays on ethanol? `pyg-mpnn ablate` on the shipped sample, or on any rMD17 molecule.

Attention, scales, directions, l_max, invariants, layers and widths, each varied alone from the base size, for equal
minutes with three seeds; one JSON a cell in benchmarks/results/ablation/MOLECULE, with --num-layers 3 in
MOLECULE-3-layers; cells that exist are not run again.

    python -m benchmarks.ablation.run --minutes 3 --seeds 3 --threads 1 --num-layers 3
    python -m benchmarks.ablation.run --molecule aspirin --data DIR --only attention l_max --budget-minutes 60
    python -m benchmarks.ablation.run --smoke             one block, seconds, nothing kept
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks.peers.write_frames import files
from benchmarks.record import RESULTS, commit
from pyg_mpnn.training.ablation import AblationSettings, ablate

FOLDER = RESULTS / "ablation"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--molecule", default="ethanol")
    parser.add_argument("--data", help="folder with rmd17_MOLECULE_train_01.npz; the shipped ethanol without it")
    parser.add_argument("--minutes", type=float, default=3.0, help="of training, in a cell")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds")
    parser.add_argument("--only", nargs="+", help="blocks; all of them without it")
    parser.add_argument("--size", default="base")
    parser.add_argument("--num-layers", type=int, help="of the reference, where it is not that of the size")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compile", choices=("on", "off"), default="off")
    parser.add_argument("--budget-minutes", type=float, help="start no cell that would end after so many minutes")
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    if options.molecule != "ethanol" and options.data is None:
        parser.error(f"--data is needed for {options.molecule!r}: only ethanol is shipped")
    if options.smoke:
        options.size, options.minutes, options.seeds, options.only = "small", 0.02, 1, ["num_layers"]
    layers = options.num_layers
    name = options.molecule if layers is None else f"{options.molecule}-{layers}-layers"
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "smoke" if options.smoke else FOLDER / name
        settings = AblationSettings(
            data=files(options.molecule, options.data)[0],
            out=str(folder),
            size=options.size,
            minutes=options.minutes,
            seeds=options.seeds,
            only=options.only,
            valid_size=50,
            threads=options.threads,
            compile=options.compile,
            budget_minutes=options.budget_minutes,
            device="cpu",
            model={} if layers is None else {"num_layers": layers},
        )
        ablate(settings, note={"commit": commit(), "units": "in the names"})


if __name__ == "__main__":
    main()
