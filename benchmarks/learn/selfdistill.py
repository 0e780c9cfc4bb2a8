"""What is left of a large potential, or of a committee, in a fast student, where there are 950 labels and no more?

    python -m benchmarks.learn.selfdistill --data DIR --members 4 --teacher-minutes 65     committee first: hours
    python -m benchmarks.learn.selfdistill --data DIR --teacher-checkpoint large/best.ckpt
    python -m benchmarks.learn.selfdistill ... --parts distilled:base alone:base           parts that are not done yet
    python -m benchmarks.learn.selfdistill --smoke                                         a minute, nothing written

rMD17, split 01: a teacher trained on 950 frames (50 validate) runs dynamics from 20 of them and labels what it comes to
(its committee's mean). Students are trained on these frames and the 950 with their true labels (distilled:SIZE), beside
the same training on the 950 alone (alone:SIZE), each for --minutes; all are tested on rMD17's 1000 test frames. Parts
that are done are not run again, and one that was interrupted goes on where it was (--runs keeps them). The result is
benchmarks/results/learn/selfdistill-MOLECULE.json. DIR holds rmd17_MOLECULE_{train,test}_01.npz.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from ase.io import write as write_structures

from benchmarks.record import RESULTS, provenance, write
from pyg_mpnn.data import read_structures, split_frames, to_atoms
from pyg_mpnn.data.read import load_frames
from pyg_mpnn.learning import DistillSettings, distill
from pyg_mpnn.learning.labels import LabelStore
from pyg_mpnn.training import TrainingSettings, train, train_committee

VALID = 50
STARTS = 20
TINY = {"hidden_channels": 8, "edge_dim": 8, "channels": 2, "l_max": 1, "num_layers": 1}


def main() -> None:
    options = parse_arguments()
    torch.set_num_threads(1)
    if not options.smoke:
        run(options)
        return
    with tempfile.TemporaryDirectory() as folder:
        options.runs = Path(folder)
        options.members, options.frames, options.walks = 2, 24, 2
        options.parts = ["distilled:small"]
        run(options)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with the npz files")
    parser.add_argument("--molecule", default="aspirin")
    parser.add_argument("--teacher-checkpoint", type=Path, help="in place of a committee: trained on the same split")
    parser.add_argument("--members", type=int, default=4, help="of the committee")
    parser.add_argument("--teacher-size", default="large", choices=("small", "base", "large"))
    parser.add_argument("--teacher-minutes", type=float, default=65.0, help="of each member")
    parser.add_argument("--frames", type=int, default=4000, help="drawn by the teacher's dynamics")
    parser.add_argument("--walks", type=int, default=STARTS)
    parser.add_argument("--temperature", type=float, nargs="+", default=[500.0, 400.0], help="K, of the walks in turn")
    parser.add_argument("--interval", type=float, default=10.0, help="fs from frame to frame")
    parser.add_argument("--true-weight", type=float, default=1.0, help="of a frame with its true label")
    parser.add_argument("--minutes", type=float, default=10.0, help="to train each student")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--parts", nargs="*", default=["distilled:base", "distilled:small", "alone:base", "alone:small"]
    )
    parser.add_argument("--runs", type=Path, default=Path("runs/selfdistill"))
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    if options.data is None and not options.smoke:
        parser.error("--data is needed, but with --smoke")
    return options


def run(options: argparse.Namespace) -> None:
    """Split, train the teacher where none is given, then all parts that are not done."""
    options.runs.mkdir(parents=True, exist_ok=True)
    files = split(options)
    teacher = options.teacher_checkpoint or committee(options, files)
    for part in options.parts:
        kind, size = part.split(":")
        done = options.runs / f"{kind}-{size}.json"
        if not done.is_file():
            found = distilled(options, files, teacher, size) if kind == "distilled" else alone(options, files, size)
            write(done, provenance() | {"minutes": options.minutes, "cores": sorted(os.sched_getaffinity(0))} | found)
        summary(options, teacher)


def split(options: argparse.Namespace) -> dict[str, Path]:
    """The training, validation and test frames as files; those of train with its default seed and size."""
    files = {name: options.runs / f"{name}.xyz" for name in ("train", "valid", "test")}
    if options.smoke:
        every, tested = read_structures_of("ethanol", "train", 60), read_structures_of("ethanol", "test", 10)
    else:
        path = f"{options.data}/rmd17_{options.molecule}_{{}}_01.npz"
        every, tested = (read_structures(path.format(name)) for name in ("train", "test"))
    train_places, valid_places = split_frames(len(every), 10 if options.smoke else VALID, 0)
    of = {"train": [every[k] for k in train_places], "valid": [every[k] for k in valid_places], "test": tested}
    for name, path in files.items():
        if not path.is_file():
            write_structures(path, [to_atoms(frame) for frame in of[name]], format="extxyz")
    return files


def read_structures_of(word: str, part: str, count: int) -> list[Any]:
    """Some of the shipped frames."""
    return list(load_frames(word, part))[:count]


def length(options: argparse.Namespace, minutes: float) -> dict[str, Any]:
    """How long to train, and of what."""
    if options.smoke:
        return {"epochs": 1, "threads": 1, "compile": "off", "model": TINY}
    return {"minutes": minutes, "threads": 1, "compile": "on"}


def committee(options: argparse.Namespace, files: dict[str, Path]) -> Path:
    """Train the members of the teacher, or go on."""
    out = Path(options.runs) / "teacher"
    if not (out / "committee.pt").is_file():
        frames = {name: read_structures(files[name]) for name in ("train", "valid")}
        settings = TrainingSettings(
            str(files["train"]),
            str(out),
            size=options.teacher_size,
            committee=options.members,
            resume=any(out.glob("member-*")),
            force_data=True,
            **length(options, options.teacher_minutes),
        )
        train_committee(settings, frames=frames["train"], valid=frames["valid"])
    return out


def distilled(options: argparse.Namespace, files: dict[str, Path], teacher: Path, size: str) -> dict[str, Any]:
    """A student of frames that the teacher drew and labelled, and of the true labels. The first one draws them."""
    out, drawn = options.runs / f"distilled-{size}", options.runs / "drawn.xyz"
    source: dict[str, Any] = {
        "structures": str(files["train"]),
        "max_structures": STARTS,
        "sample": options.frames,
        "walks": options.walks,
        "temperature": tuple(options.temperature),
        "interval": options.interval,
    }
    if drawn.is_file():
        source = {"structures": str(drawn), "use_labels": True}
    settings = DistillSettings(
        {"class": str(teacher)},
        out=str(out),
        truth=str(files["train"]),
        truth_weight=options.true_weight,
        test=str(files["test"]),
        size=size,  # type: ignore[arg-type]
        seed=options.seed,
        resume=(out / "state.json").is_file(),
        **source,
        **length(options, options.minutes),
    )
    found = distill(settings)
    if not drawn.is_file():
        write_structures(drawn, LabelStore(out).frames(["sampled"]), format="extxyz")
    return {"report": found.report, "temperatures_K": options.temperature, "interval_fs": options.interval}


def alone(options: argparse.Namespace, files: dict[str, Path], size: str) -> dict[str, Any]:
    """The same training without a teacher."""
    out = options.runs / f"alone-{size}"
    settings = TrainingSettings(
        str(files["train"]),
        str(out),
        test=str(files["test"]),
        size=size,  # type: ignore[arg-type]
        seed=options.seed,
        resume=(out / "last.ckpt").is_file(),
        force_data=True,
        **length(options, options.minutes),
    )
    frames = {name: read_structures(path) for name, path in files.items()}
    found = train(settings, frames=frames["train"], valid=frames["valid"], test=frames["test"])
    parameters = sum(parameter.numel() for parameter in found.potential.parameters())
    return {"report": {"student": asdict(found.errors)}, "parameters": parameters}


def summary(options: argparse.Namespace, teacher: Path) -> None:
    """The result of all parts that are done."""
    parts = {path.stem: json.loads(path.read_text()) for path in sorted(options.runs.glob("*-*.json"))}
    for name, part in parts.items():
        report = part["report"]
        errors = report["against the reference"]["student"] if name.startswith("distilled") else report["student"]
        print(f"{name}: test force MAE {errors['forces_mae_meV_per_A']:.2f} meV/A")
    record = provenance() | {
        "molecule": options.molecule,
        "split": "rMD17 split 01: 950 training and 50 validation frames drawn from the training file, 1000 test frames",
        "teacher": f"{options.teacher_checkpoint.parent.name}, one potential"
        if options.teacher_checkpoint
        else f"committee of {options.members}, {options.teacher_size}, {options.teacher_minutes:g} minutes each",
        "units": "meV, meV/A",
        "parts": parts,
    }
    if not options.smoke:
        write(RESULTS / "learn" / f"selfdistill-{options.molecule}.json", record)


if __name__ == "__main__":
    main()
