"""How small do the errors on rMD17 get? One molecule, official split 01: 950 + 50 frames to train, 1000 to test.

Writes benchmarks/results/md17/MOLECULE-SIZE-seedS.json; the published force MAE of other potentials on the same
protocol stand beside it in the table.

    python -m benchmarks.md17.train --molecule aspirin --data DIR --minutes 60 --compile    DIR holds the npz files
    python -m benchmarks.md17.train table                         Markdown table of all result files
    python -m benchmarks.md17.train --smoke                       six seconds on the shipped ethanol
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path

from benchmarks.record import RESULTS, provenance, write
from pyg_mpnn.training import TrainingSettings, train

FOLDER = RESULTS / "md17"
# Force MAE in meV/A: table 1 of Batatia et al., NeurIPS 2022, arXiv:2206.07697 (rMD17, 950 + 50 training frames).
PUBLISHED = {
    "aspirin": {"MACE": 6.6, "Allegro": 7.3, "NequIP": 8.2, "PaiNN": 16.1, "ACE": 17.9},
    "ethanol": {"MACE": 2.1, "Allegro": 2.1, "NequIP": 2.8, "PaiNN": 10.0, "ACE": 7.3},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=("train", "table"), default="train")
    parser.add_argument("--molecule", default="ethanol")
    parser.add_argument("--data", help="folder with rmd17_MOLECULE_{train,test}_01.npz; the shipped ethanol without it")
    parser.add_argument("--size", default="base")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--keep", type=Path, help="folder to keep checkpoint, model card and pictures in")
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    print(table()) if options.part == "table" else run(options)


def run(options: argparse.Namespace) -> None:
    """Train, test and write the result file."""
    if options.smoke:
        options.size, options.minutes = "small", 0.1
    with tempfile.TemporaryDirectory() as scratch:
        settings = settings_of(options, f"{scratch}/run")
        result = train(settings)
        card = json.loads((result.out / "model_card.json").read_text())
        if options.keep:
            shutil.copytree(result.out, options.keep, dirs_exist_ok=True)
    record = provenance() | {
        "molecule": options.molecule,
        "data": [Path(file).name for file in (settings.data, settings.test or "")],
        "split": "rMD17 split 01: 950 training and 50 validation frames drawn from the training file, 1000 test frames",
        "size": options.size,
        "seed": options.seed,
        "minutes": options.minutes,
        "compiled": options.compile,
        "parameters": sum(parameter.numel() for parameter in result.potential.parameters()),
        "config": result.potential.config,
        "card": card,
        "test": asdict(result.errors),
        "trivial predictor": asdict(result.trivial),
    }
    folder = Path(tempfile.mkdtemp()) if options.smoke else FOLDER
    write(folder / f"{options.molecule}-{options.size}-seed{options.seed}.json", record)


def settings_of(options: argparse.Namespace, out: str) -> TrainingSettings:
    """What the training is told; benchmarks/configs/md17-MOLECULE.yaml says the same to `pyg-mpnn train`."""
    train_file, test_file = (
        f"{options.data}/rmd17_{options.molecule}_{split}_01.npz" if options.data else "ethanol"
        for split in ("train", "test")
    )
    return TrainingSettings(
        data=train_file,
        test=test_file,
        out=out,
        size=options.size,
        minutes=options.minutes,
        seed=options.seed,
        threads=options.threads,
        compile="on" if options.compile else "off",
    )


def table() -> str:
    """Markdown table of all result files beside the published values."""
    rows = [["molecule", "size", "minutes", "threads", "energy MAE (meV)", "force MAE (meV/A)", "published force MAE"]]
    rows.append(["---"] * 7)
    for path in sorted(FOLDER.glob("*.json")):
        found = json.loads(path.read_text())
        published = ", ".join(f"{name} {value}" for name, value in PUBLISHED.get(found["molecule"], {}).items())
        test = found["test"]
        numbers = [f"{test['energy_mae_meV']:.1f}", f"{test['forces_mae_meV_per_A']:.1f}"]
        mode = f"{found['minutes']:g}{' (compiled)' if found['compiled'] else ''}"
        rows.append([found["molecule"], found["size"], mode, str(found["threads"]), *numbers, published])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


if __name__ == "__main__":
    main()
