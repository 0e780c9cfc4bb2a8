"""From the published archive of revised MD17 to the files that the benchmarks read.

    python -m benchmarks.md17.cut --archive DIR --out DIR [--molecules aspirin ethanol] [--split 1]

--archive is the unpacked archive, with npz_data/rmd17_MOLECULE.npz and splits/index_{train,test}_01.csv, of

    https://archive.materialscloud.org/record/file?filename=rmd17.tar.bz2&record_id=466

Writes rmd17_MOLECULE_{train,test}_01.npz with the 1000 frames of each.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from benchmarks.md17.train import MOLECULES
from pyg_mpnn.files import replace_whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archive", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--molecules", nargs="+", choices=MOLECULES, default=MOLECULES, metavar="MOLECULE")
    parser.add_argument("--split", type=int, default=1, choices=range(1, 6))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for molecule in options.molecules:
        for path in cut(options.archive, options.out, molecule, options.split):
            print(f"written to {path}")


def cut(archive: Path, out: Path, molecule: str, split: int) -> list[Path]:
    """Write the training and the test frames of one molecule."""
    with np.load(archive / "npz_data" / f"rmd17_{molecule}.npz", allow_pickle=False) as found:
        whole = {name: found[name] for name in ("nuclear_charges", "coords", "energies", "forces")}
    written = []
    for part in ("train", "test"):
        index = np.loadtxt(archive / "splits" / f"index_{part}_{split:02d}.csv", dtype=np.int64, ndmin=1)
        path = out / f"rmd17_{molecule}_{part}_{split:02d}.npz"
        with replace_whole(path) as partial:
            np.savez(
                partial,
                **{name: values if name == "nuclear_charges" else values[index] for name, values in whole.items()},
            )
        written.append(path)
    return written


if __name__ == "__main__":
    main()
