"""What does a small potential make of water: structure, diffusion, density?

    python -m benchmarks.water.run            writes benchmarks/results/water/: water.json and potential.pt
    python -m benchmarks.water.run --smoke    a minute, nothing written

Trains on ``water.extxyz.xz`` (see ``benchmarks.water.label``), tests on ``water_test.extxyz.xz``, runs dynamics at
constant volume (1 g/cm3) for g(r) and diffusion, then at constant pressure for the density, all by the commands of the
package.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shlex
import tempfile
from pathlib import Path

import ase.io
import numpy as np

from benchmarks.record import RESULTS, provenance, write
from pyg_mpnn import Potential
from pyg_mpnn.cli import main as command_line

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--ps", type=float, default=2.2, help="of dynamics at constant volume")
    parser.add_argument("--npt-ps", type=float, default=0.6, help="of dynamics at constant pressure")
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    if options.smoke:
        options.epochs, options.ps, options.npt_ps = 1, 0.05, 0.05
    train = (
        f"train --data {HERE}/water.extxyz.xz --test {HERE}/water_test.extxyz.xz --valid-size 6 --size small "
        f"--cutoff 4 --batch-size 1 --epochs {options.epochs} --compile off --out run"
    )
    common = "md --model run/best.ckpt --timestep 0.5 --temperature 300 --compile off --threads 1"
    warm = f"{common} --structure start.xyz --ensemble nvt --steps {round(options.ps / 0.0005) // 8} --out warm"
    nvt = (
        f"{common} --structure warm/trajectory.traj --velocities file --ensemble nvt --integrator Bussi --tdamp 200 "
        f"--steps {round(options.ps / 0.0005)} --out nvt"
    )
    npt = (
        f"{common} --structure nvt/trajectory.traj --velocities file --ensemble npt --pressure 1bar --pdamp 100 "
        f"--steps {round(options.npt_ps / 0.0005)} --out npt"
    )
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
        folder = Path(name)
        frames = ase.io.read(HERE / "water_test.extxyz.xz", index=":")
        ase.io.write("start.xyz", max(frames, key=lambda atoms: atoms.get_volume()), format="extxyz")
        for line in (train, warm, nvt, npt):
            run(line)
        test = json.loads((folder / "run/model_card.json").read_text())
        record = {
            "system": "27 molecules of water, GFN1-xTB",
            "commands": [f"pyg-mpnn {line}".replace(str(HERE), "benchmarks/water") for line in (train, warm, nvt, npt)],
            "units": "as the names say; r in A, time in ps",
            "card": test,
            "nvt": json.loads((folder / "nvt/observables.json").read_text()),
            "nvt_summary": json.loads((folder / "nvt/summary.json").read_text()),
            "npt_summary": json.loads((folder / "npt/summary.json").read_text()),
        }
        if options.smoke:
            return
        with (folder / "npt/log.csv").open() as file:
            header = file.readline().strip().split(",")
            rows = np.loadtxt(file, delimiter=",")
        record["npt_log"] = {name: rows[::20, k].round(4).tolist() for k, name in enumerate(header)}
        write(RESULTS / "water" / "water.json", provenance() | record)
        Potential.load("run/best.ckpt").save(RESULTS / "water" / "potential.pt")


def run(line: str) -> None:
    """A command of the package, printed."""
    print("$ pyg-mpnn", line, flush=True)
    assert command_line(shlex.split(line)) == 0


if __name__ == "__main__":
    main()
