"""How many DFT labels of ``pyg-mpnn learn`` are worth 950 random frames? Ethanol from one geometry, rMD17's test error.

    python -m benchmarks.learn.ethanol label               results/learn/ethanol-labels.npz; pip install pyscf
    python -m benchmarks.learn.ethanol train --data DIR    results/learn/ethanol.json
    python -m benchmarks.learn.ethanol table               Markdown table of the result
    python -m benchmarks.learn.ethanol --smoke             half a minute, EMT in place of DFT, nothing written

``label`` learns at rMD17's 500 K with PBE/def2-SVP (``benchmarks.learn.dft``); it goes on after a kill, and after each
label that was asked for all are in the file, in that order, those of tests and certificate too. ``train`` compares the
first N of them with 950 frames of rMD17's training file, and with N of these: each potential of the base size for the
same minutes, a tenth of the N labels (50 frames beside the 950) validates; test on rMD17's 1000 test frames.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.build import molecule
from ase.io import write as write_structures
from torch_geometric.data import Data

from benchmarks.record import RESULTS, provenance, write
from pyg_mpnn.data import ethanol, read_structures, to_atoms, to_data
from pyg_mpnn.learning import LearnSettings, learn
from pyg_mpnn.learning.labels import LabelStore
from pyg_mpnn.training import TrainingSettings, train

OUT = RESULTS / "learn" / "ethanol.json"
LABELS = RESULTS / "learn" / "ethanol-labels.npz"
TINY = {"hidden_channels": 8, "edge_dim": 8, "channels": 2, "l_max": 1, "num_layers": 1}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=("label", "train", "table"))
    parser.add_argument("--data", type=Path, help="folder with rmd17_ethanol_{train,test}_01.npz")
    parser.add_argument("--max-labels", type=int, default=270)
    parser.add_argument("--counts", type=int, nargs="+", help="numbers of labels to train on (default: all)")
    parser.add_argument("--minutes", type=float, default=10.0, help="of each training")
    parser.add_argument("--runs", type=Path, default=Path("runs/ethanol"))
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.smoke:
        with tempfile.TemporaryDirectory() as folder:
            options.runs = Path(folder)
            run_label(options, {"class": "ase.calculators.emt:EMT"}, options.runs / "labels.npz")
            options.counts = [40]
            run_train(options, read_labels(options.runs / "labels.npz"), ethanol("train"), ethanol("test")[:10])
    elif options.part == "label":
        run_label(options, {"class": "benchmarks.learn.dft:PBE"}, LABELS)
    elif options.part == "train":
        if options.data is None:
            parser.error("train needs --data")
        files = [options.data / f"rmd17_ethanol_{part}_01.npz" for part in ("train", "test")]
        run_train(options, read_labels(LABELS), *map(read_structures, files))
    elif options.part == "table":
        print(table())
    else:
        parser.error("say which part: label or train")


def run_label(options: argparse.Namespace, teacher: dict[str, Any], path: Path) -> None:
    """Learn, and keep all labels."""
    options.runs.mkdir(parents=True, exist_ok=True)
    start, out = options.runs / "start.xyz", options.runs / "learn"
    write_structures(start, molecule("CH3CH2OH"))
    given: dict[str, Any] = {"max_labels": options.max_labels, "labels": 50, "ps": 5.0, "epochs": 250}
    given |= {"target_force_error": 5.0}
    if options.smoke:
        given = {"max_labels": 56, "labels": 20, "ps": 0.2, "epochs": 2, "model": TINY, "compile": "off"}
        given |= {"target_force_error": 1000.0}
    settings = LearnSettings(
        teacher,
        str(start),
        str(out),
        temperature=500.0,
        test_labels=10,
        committee=2,
        threads=1,
        resume=(out / "state.json").is_file(),
        **given,
    )
    try:
        learn(settings)
    finally:
        keep(LabelStore(out).frames(), path)


def keep(frames: Sequence[Atoms], path: Path) -> None:
    """Write labels, in eV and A."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        path,
        numbers=frames[0].numbers.astype(np.uint8),
        positions=np.array([atoms.positions for atoms in frames]),
        energies=np.array([atoms.get_potential_energy() for atoms in frames]),
        forces=np.array([atoms.get_forces() for atoms in frames]).astype(np.float32),
        kinds=np.array([atoms.info["config_type"] for atoms in frames]),
    )
    print(f"{len(frames)} labels written to {path}")


def read_labels(path: Path) -> list[Data]:
    """Labels in the order in which they were asked for."""
    with np.load(path) as stored:
        rows = zip(stored["positions"], stored["energies"], stored["forces"], strict=True)
        made = []
        for positions, energy, forces in rows:
            frame = to_data(Atoms(stored["numbers"], positions))
            frame.energy = torch.tensor([energy], dtype=torch.float64)
            frame.forces = torch.tensor(forces, dtype=torch.float64)
            made.append(frame)
    return made


def run_train(
    options: argparse.Namespace, labels: Sequence[Data], random: Sequence[Data], tested: Sequence[Data]
) -> None:
    """All trainings that are not done, for the same minutes."""
    parts: dict[str, tuple[Sequence[Data], int | None]] = {"random-950": (random[:1000], 50)}
    if options.smoke:
        parts = {}
    for count in options.counts or [len(labels)]:
        parts |= {f"learned-{count}": (labels[:count], None), f"random-{count}": (random[:count], None)}
    found = {}
    for name, (frames, valid) in parts.items():
        done, out = options.runs / f"{name}.json", options.runs / name
        if not done.is_file():
            length: dict[str, Any] = {"minutes": options.minutes, "compile": "on", "size": "base"}
            if options.smoke:
                length = {"epochs": 1, "compile": "off", "model": TINY}
            settings = TrainingSettings(
                name,
                str(out),
                valid_size=valid,
                threads=1,
                force_data=True,
                resume=(out / "last.ckpt").exists(),
                **length,
            )
            result = train(settings, frames=frames, test=tested)
            write(done, {"labels": len(frames), "minutes": options.minutes, "test": asdict(result.errors)})
        found[name] = json.loads(done.read_text())
        print(f"{name}: test force MAE {found[name]['test']['forces_mae_meV_per_A']:.2f} meV/A")
    if not options.smoke:
        trans = {"learned": share_of_trans(labels), "test": share_of_trans(tested)}
        level = "labels: PBE/def2-SVP, density fitting (benchmarks.learn.dft); random: rMD17, split 01"
        write(
            OUT,
            provenance()
            | {"molecule": "ethanol", "level": level, "units": "meV, meV/A", "trans": trans, "parts": found},
        )


def share_of_trans(frames: Sequence[Data]) -> float:
    """Share of structures whose torsion H-O-C-C is within 40 degrees of 180, 0.22 if it turned freely."""
    found = 0
    for frame in frames:
        atoms = to_atoms(frame)
        (oxygen,) = (atoms.numbers == 8).nonzero()[0]
        order = atoms.get_distances(oxygen, range(len(atoms))).argsort()
        hydrogen, carbon = (next(int(k) for k in order if atoms.numbers[k] == z) for z in (1, 6))
        (other,) = (int(k) for k in (atoms.numbers == 6).nonzero()[0] if k != carbon)
        found += abs(atoms.get_dihedral(hydrogen, oxygen, carbon, other) - 180.0) < 40.0
    return found / len(frames)


def table() -> str:
    """Test errors of all trainings."""
    parts = json.loads(OUT.read_text())["parts"]
    lines = ["| trained on | labels | force MAE (meV/Å) | energy MAE (meV) |", "|---|---|---|---|"]
    for name, of in parts.items():
        errors = of["test"]
        title = "`learn`" if name.startswith("learned") else "random frames of rMD17"
        row = f"{errors['forces_mae_meV_per_A']:.1f} | {errors['energy_mae_meV']:.1f}"
        lines.append(f"| {title} | {of['labels']} | {row} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
