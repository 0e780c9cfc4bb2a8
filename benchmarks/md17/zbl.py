"""What does the default repulsion (`ZBL`, radii from the training structures) change on test structures?

It is zero in the training structures, so a training with it is the same to the last bit; only what it adds on test
structures with nearer atoms can count. Its time is in benchmarks/results/products/cost.json.

    python -m benchmarks.md17.zbl --data DIR      writes benchmarks/results/zbl.json
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch

from benchmarks.record import RESULTS, provenance, write
from pyg_mpnn import ZBL
from pyg_mpnn.data import read_structures, shortest_distances, split_frames

CUTOFF = 5.0  # A


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with rmd17_MOLECULE_{train,test}_01.npz")
    parser.add_argument("--molecules", nargs="+", default=["aspirin", "ethanol", "malonaldehyde"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    records = [measure(options.data, molecule) for molecule in options.molecules]
    units = "meV/A: components of the force that the repulsion adds"
    write(RESULTS / "zbl.json", provenance() | {"cutoff_A": CUTOFF, "seed": 0, "units": units, "records": records})


def measure(folder: Path, molecule: str) -> dict[str, Any]:
    """Radii from 950 training structures, force on 1000 test structures."""
    files = [folder / f"rmd17_{molecule}_{split}_01.npz" for split in ("train", "test")]
    frames, tested = (list(read_structures(file)) for file in files)
    train = [frames[place] for place in split_frames(len(frames), 50, 0)[0]]
    distances = shortest_distances(train, CUTOFF)
    records = []
    for radii, stretch in (("the default", 1.0), ("the full shortest distances", 1.0 / 0.9)):
        zbl = ZBL(cutoff=CUTOFF).double()
        zbl.set_distances({pair: stretch * distance for pair, distance in distances.items()})
        for name, group in (("training", train), ("test", tested)):
            forces = 1e3 * torch.stack([zbl(frame).forces.detach() for frame in group]).abs()
            acting = int((forces.amax(dim=(1, 2)) > 0).sum())
            sizes = {"mean_abs_force": float(forces.mean()), "largest_force": float(forces.max())}
            records.append({"radii": radii, "on": name, "structures": len(group), "acting_in": acting, **sizes})
            print(molecule, records[-1], flush=True)
    return {"molecule": molecule, "files": [file.name for file in files], "forces": records}


if __name__ == "__main__":
    main()
