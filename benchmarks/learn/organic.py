"""A pretrained start: a potential for neutral closed-shell molecules of H, C, N, O, F at the level of GFN2-xTB.

    python -m benchmarks.learn.organic label --qm9 DIR --rmd17 DIR      walks from QM9's molecules, labelled by tblite
    python -m benchmarks.learn.organic train --size base --minutes 22   a training; run again to go on after a kill
    python -m benchmarks.learn.organic test --size base                 errors, laws and model card
    python -m benchmarks.learn.organic --smoke                          all three in a minute, with EMT, nothing kept

The results are benchmarks/results/learn/organic-SIZE.json, pyg_mpnn/models/pretrained/organic.pt (organic-small.pt) and
the model card beside it.

Molecules whose gdb number is 0 modulo 25 are for validation, 1 for the test; no frame of them is trained on. The ten
molecules of rMD17, and all others of their compositions, are left out; frames of rMD17's test files, labelled anew,
show what the potential makes of seven of them. ``label`` needs ``pip install tblite``.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.build import molecule
from ase.calculators.emt import EMT
from ase.data import atomic_numbers
from torch_geometric.data import Data

from benchmarks.learn.organic_card import card
from benchmarks.learn.organic_labels import Molecules, draw, pack, read_molecules, walk_chunk
from benchmarks.record import RESULTS, provenance, write
from pyg_mpnn import Potential
from pyg_mpnn.data.record import kept_distances, kept_structures
from pyg_mpnn.learning.teacher import Teacher, label
from pyg_mpnn.models import pretrained
from pyg_mpnn.testing import LAWS, Law, check_potential
from pyg_mpnn.training import TrainingSettings, train
from pyg_mpnn.training.breakdown import Breakdown, Group
from pyg_mpnn.training.evaluate import predict
from pyg_mpnn.training.metrics import Predictions, compute_errors

CHUNK = 500  # walks in a file
HELD_OUT = 25  # one molecule in so many is for validation, one for the test
VALID_SIZE = 400
FREE_ATOMS = {"H": 1, "C": 2, "N": 3, "O": 2, "F": 1}  # unpaired electrons


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=("label", "train", "test"))
    parser.add_argument("--runs", type=Path, default=Path("runs/organic"), help="folder of labels and trainings")
    parser.add_argument("--qm9", type=Path, help="folder with qm9_*_geometry.npz and qm9_*_targets.csv.xz")
    parser.add_argument("--rmd17", type=Path, help="folder with rmd17_MOLECULE_test_01.npz")
    parser.add_argument("--walks", type=int, default=10_000)
    parser.add_argument("--size", default="base", choices=("small", "base"))
    parser.add_argument("--minutes", type=float, default=22.0)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=0.01)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    if options.smoke:
        with tempfile.TemporaryDirectory() as scratch:
            smoke(options, Path(scratch))
    elif options.part == "label":
        label_all(options)
    elif options.part is None:
        parser.error("say which part: label, train or test")
    else:
        name = "organic" if options.size == "base" else f"organic-{options.size}"
        shipped = Path(pretrained.__file__).with_name(f"{name}.pt")
        if options.part == "train":
            train_one(options, shipped)
        else:
            assess(options, RESULTS / "learn" / f"organic-{options.size}.json", shipped)


def label_all(options: argparse.Namespace) -> None:
    """Walk and label, chunk by chunk; chunks that exist are not made again, and none depends on another."""
    folder = options.runs / "labels"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "atoms.json").exists():
        write(folder / "atoms.json", {name: free_atom(name, unpaired) for name, unpaired in FREE_ATOMS.items()})
    for path in sorted(options.rmd17.glob("rmd17_*_test_01.npz")):
        out = folder / f"unseen_{path.name.split('_')[1]}.npz"
        if not out.exists():
            stored = np.load(path)
            frames = [Atoms(stored["nuclear_charges"], pos) for pos in stored["coords"][:50]]
            found = [label(tblite(), one) for one in frames]
            save(out, pack(frames, [one.energy for one in found], [one.forces for one in found]))
    molecules = read_molecules(options.qm9)
    places = list(draw(molecules, options.walks, np.random.default_rng(0)))
    label_walks(molecules, places, folder, tblite)


def label_walks(molecules: Molecules, places: list[int], folder: Path, make: Callable[[], Any]) -> None:
    """Walk from molecules in chunks, each written when it is complete."""
    for first in range(0, len(places), CHUNK):
        out = folder / f"walks_{first:06d}.npz"
        if not out.exists():
            begun = time.process_time()
            chunk = places[first : first + CHUNK]
            found = walk_chunk(molecules, chunk, range(first, first + len(chunk)), make)
            save(out, found | {"seconds": np.array(time.process_time() - begun)})
            print(f"{out.name}: {len(found['energy'])} labels, {time.process_time() - begun:.0f} s of CPU", flush=True)


def tblite(**arguments: Any) -> Any:
    """GFN2-xTB as an ASE calculator."""
    return Teacher("tblite.ase:TBLite", {"method": "GFN2-xTB", "verbosity": 0, **arguments}).make()


def free_atom(name: str, unpaired: int) -> float:
    """Energy of an atom in its ground state, in eV."""
    atom = Atoms(name)
    atom.calc = tblite(multiplicity=unpaired + 1)
    return float(atom.get_potential_energy())


def train_one(options: argparse.Namespace, shipped: Path, **chosen: Any) -> None:
    """Train on what is labelled, or go on, and ship the best checkpoint."""
    parts = read_labels(options.runs / "labels")
    out = options.runs / options.size
    isolated = json.loads((options.runs / "labels" / "atoms.json").read_text())
    settings = TrainingSettings(
        data="organic",
        out=str(out),
        size=options.size,
        minutes=options.minutes,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        seed=options.seed,
        threads=1,
        device="cpu",
        resume=(out / "last.ckpt").exists(),
        **{
            "compile": "on",
            "isolated": {atomic_numbers[name]: energy for name, energy in isolated.items()},
            **chosen,
        },
    )
    train(settings, frames=parts["train"], valid=parts["valid"][:: -(-len(parts["valid"]) // VALID_SIZE)])
    Potential.load(out / "best.ckpt").save(shipped)


def assess(options: argparse.Namespace, out: Path, shipped: Path, laws: Sequence[Law] = LAWS) -> None:
    """Errors of what is shipped on molecules that were not trained on, the laws it keeps, and its card."""
    folder = options.runs / "labels"
    potential = Potential.load(shipped)
    parts, trained = read_labels(folder), json.loads((options.runs / options.size / "model_card.json").read_text())
    frames = parts["test"]
    predictions = predict(potential, frames)
    found = Breakdown(predictions, frames)
    unseen = {path.stem.partition("_")[2]: unpack(np.load(path)) for path in sorted(folder.glob("unseen_*.npz"))}
    chunks = [np.load(path) for path in sorted(folder.glob("walks_*[0-9].npz"))]
    kept = kept_structures(potential.record)[:2]
    distances = kept_distances(potential.record)
    report = check_potential(potential, kept, dtype=torch.float64, distances=distances, laws=laws)
    record: dict[str, Any] = {
        "name": shipped.stem,
        "size": options.size,
        "bytes": shipped.stat().st_size,
        "parameters": trained["model"]["parameters"],
        "training": trained["training"],
        "labels": {
            "level": "GFN2-xTB (tblite), neutral closed-shell molecules in vacuum",
            "walks": sum(int(one["walks"]) for one in chunks),
            "frames": {name: len(part) for name, part in parts.items()},
            "molecules": dict(Counter(part_of(origin) for origin in {int(o) for one in chunks for o in one["origin"]})),
            "walks_that_ended_early": sorted({str(why) for one in chunks for why in one["ended"]}),
            "cpu_seconds": round(sum(float(one["seconds"]) for one in chunks)),
            "isolated_atoms_eV": json.loads((folder / "atoms.json").read_text()),
        },
        "test": asdict(compute_errors(predictions)),
        "mean_absolute_force_meV_per_A": 1e3 * float(torch.cat([frame.forces for frame in frames]).abs().mean()),
        "groups are": "number of structures (of atoms by element), energy MAE meV/atom, force MAE meV/A, relative",
        "by_element": listed(found.by_element()),
        "by_kind": by_kind(predictions, frames),
        "unseen": {name: asdict(compute_errors(predict(potential, part))) for name, part in unseen.items()},
        "laws": {name: result.verdict for name, result in report.results.items()},
        "warnings": [str(report.findings[name]) for name in report.warnings],
    }
    write(out, provenance() | record)
    shipped.with_suffix(".md").write_text(card(record))
    print(report)


def by_kind(predictions: Predictions, frames: Sequence[Data]) -> list[dict[str, Any]]:
    """Errors by the number of atoms that are not hydrogen, and of molecules with fluorine."""
    found: list[dict[str, Any]] = []
    sizes = [f"{int((frame.z > 1).sum())} heavy atoms" for frame in frames]
    fluorine = ["with fluorine" if 9 in frame.z else "without" for frame in frames]
    for kinds in (sizes, fluorine):
        named = [Data(**{**frame.to_dict(), "config_type": kind}) for frame, kind in zip(frames, kinds, strict=True)]
        found += listed(Breakdown(predictions, named).by_kind())
    return [group for group in found if group["name"] != "without"]


def listed(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """Groups as plain values."""
    return [group._asdict() for group in groups]


def smoke(options: argparse.Namespace, scratch: Path) -> None:
    """Label with EMT, train for a few steps and test."""
    names = ("CH4", "NH3", "H2O", "CH3OH", "C2H6", "C2H4", "H2CO", "HCN", "CH3CHO", "N2H4", "HCOOH", "CH3CONH2")
    atoms = [molecule(name) for name in names]
    options.runs, options.size, options.minutes = scratch, "small", 0.02
    folder = scratch / "labels"
    folder.mkdir()
    (folder / "atoms.json").write_text("{}")
    label_walks(Molecules(np.arange(len(names)), [""] * len(names), atoms), list(range(12)), folder, EMT)
    train_one(options, scratch / "organic.pt", compile="off", isolated=None)
    assess(
        options,
        scratch / "organic.json",
        scratch / "organic.pt",
        laws=[law for law in LAWS if law.name in ("rotation", "forces")],
    )


def read_labels(folder: Path) -> dict[str, list[Data]]:
    """Labelled frames to train on, to validate and to test, by molecule."""
    parts: dict[str, list[Data]] = {"train": [], "valid": [], "test": []}
    for path in sorted(folder.glob("walks_*[0-9].npz")):
        stored = np.load(path)
        for origin, frame in zip(stored["origin"].tolist(), unpack(stored), strict=True):
            parts[part_of(origin)].append(frame)
    return parts


def part_of(origin: int) -> str:
    """What the frames of a molecule are for, by its gdb number."""
    return {0: "valid", 1: "test"}.get(origin % HELD_OUT, "train")


def unpack(stored: Any) -> list[Data]:
    """Labelled frames of a file."""
    ends = np.cumsum(stored["natoms"])[:-1]
    atoms = zip(*(np.split(stored[name], ends) for name in ("z", "pos", "forces")), strict=True)
    return [
        Data(
            z=torch.from_numpy(z.astype(np.int64)),
            pos=torch.from_numpy(pos),
            energy=torch.tensor([energy], dtype=torch.float64),
            forces=torch.from_numpy(forces.astype(np.float64)),
        )
        for (z, pos, forces), energy in zip(atoms, stored["energy"], strict=True)
    ]


def save(path: Path, arrays: dict[str, Any]) -> None:
    """Write arrays; a write that is cut off leaves no broken file."""
    partial = path.with_suffix(".partial.npz")
    np.savez_compressed(partial, **arrays)
    partial.rename(path)


if __name__ == "__main__":
    main()
