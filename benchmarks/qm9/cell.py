"""One training of the grid, by the same code for every model.

Started by grid.py, for PaiNN with the Python of PaiNN's environment: python -m benchmarks.qm9.cell JOB.json
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn
from torch_geometric.data import Data

from benchmarks.record import provenance, write
from pyg_mpnn import Potential
from pyg_mpnn.data import QM9, QM9_TARGETS
from pyg_mpnn.training import TrainingSettings, train
from pyg_mpnn.training.logs import read_history
from pyg_mpnn.training.output_reference import target_output

BATCH_SIZE, VALID = 32, 1_000
LAYERS = 3  # of ours: what the base size had when the first cells were trained, so all cells are of one model


class Cell(NamedTuple):
    """One training."""

    target: str
    model: str
    n: int
    seed: int

    @property
    def name(self) -> str:
        """Its name, and that of its file."""
        return f"{self.target}-{self.model}-{self.n}-seed{self.seed}"


CELLS = [
    *(Cell("U0", "ours", n, 0) for n in (1_000, 5_000, 10_000)),
    *(Cell("U0", "schnet", n, 0) for n in (1_000, 5_000)),
    *(Cell("U0", "painn", n, 0) for n in (1_000, 5_000)),
    *(Cell(target, "ours", 1_000, 0) for target in QM9_TARGETS if target != "U0"),
    *(Cell("U0", model, n, seed) for seed in (1, 2) for model in ("ours", "schnet") for n in (1_000, 5_000)),
    Cell("U0", "ours", 50_000, 0),
]
"""In the order in which they are run; the last needs hours on two cores."""


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    options = argparse.Namespace(**job["options"])
    torch.set_num_threads(options.threads)
    path = Path(job["path"])
    run_cell(Cell(**job["cell"]), options, path, job["learning_rate"], job["epochs"], test=job["test"])


def peer(model: str) -> nn.Module | None:
    """The representation of a peer, None for ours."""
    if model == "schnet":
        from benchmarks.qm9.schnet import SchNetRepresentation

        return SchNetRepresentation()
    if model == "painn":
        from benchmarks.qm9.painn import PaiNNRepresentation  # needs its own environment

        return PaiNNRepresentation()
    return None


def run_cell(cell: Cell, options: argparse.Namespace, path: Path, rate: float, epochs: int, test: bool = True) -> None:
    """Train and write the result file; without ``test`` the test molecules are not touched."""
    data = QM9(options.data, cell.target)
    split = data.split(0)
    if cell.n > len(split.train):
        raise ValueError(f"'n' must be at most the {len(split.train)} training molecules, got {cell.n}")
    train_set = [data[k] for k in split.train[: cell.n]]
    valid, valid_left = known(train_set, [data[k] for k in split.valid[:VALID]])
    held_out, test_left = known(train_set, [data[k] for k in split.test]) if test else (valid, 0)
    out = Path(options.runs) / path.stem
    if out.exists() and not (out / "last.ckpt").exists():
        shutil.rmtree(out)
    torch.manual_seed(cell.seed)
    representation = peer(cell.model)
    settings = TrainingSettings(
        data=str(options.data),
        out=str(out),
        target=cell.target,
        size=options.size,
        cutoff=5.0 if representation is None else representation.cutoff,
        epochs=epochs,
        seed=cell.seed,
        batch_size=BATCH_SIZE,
        optimizer="adamw",
        learning_rate=rate,
        threads=options.threads,
        device=options.device,
        resume=out.exists(),
        model={"num_layers": LAYERS} if representation is None else {},
    )
    model = None
    if representation is not None:
        model = Potential(representation, energy=False, outputs={cell.target: target_output(cell.target)})
    result = train(settings, model, frames=train_set, valid=valid, test=held_out)
    card = json.loads((out / "model_card.json").read_text())
    history = read_history(out / "metrics.csv")
    found, errors = card["training"], result.errors.outputs[cell.target]
    mean = sum(float(frame.target) for frame in train_set) / len(train_set)
    record = provenance() | {
        "cell": cell._asdict(),
        "data": f"{Path(options.data).name}: {len(data)} of the 130,831 molecules of QM9",
        "split": f"split_qm9({len(data)}, seed=0), sha256 {split.sha256}; {len(train_set)} to train, {len(valid)} to "
        f"validate, {len(held_out) if test else 0} to test",
        "left_out": f"{valid_left} validation and {test_left} test molecules with an element (fluorine) that none of "
        "the training molecules has",
        "size": options.size if cell.model == "ours" else "published",
        "learning_rate": rate,
        "epochs": epochs,
        "batch_size": BATCH_SIZE,
        "minutes": found["minutes_done"],
        "seconds_per_epoch": 60 * found["minutes_done"] / found["epochs_done"],
        "parameters": card["model"]["parameters"],
        "config": card["model"]["config"],
        "unit": errors.unit,
        "validation_mae": min(row[f"valid_{cell.target}_mae"] for row in history),
    }
    if test:
        record |= {
            "test_mae": errors.mae,
            "test_mae_of_composition": result.trivial.outputs[cell.target].mae,  # of mu that of the mean
            "test_mae_of_mean": sum(abs(float(frame.target) - mean) for frame in held_out) / len(held_out),
        }
    if cell.model == "painn":
        record["versions"]["schnetpack"] = version("schnetpack")
    if options.device == "cuda":
        record["device"] = torch.cuda.get_device_name()
    write(path, record)
    shutil.rmtree(out)


def known(train: list[Data], molecules: list[Data]) -> tuple[list[Data], int]:
    """The molecules whose elements the training set has, and the number of the others."""
    elements = {int(z) for molecule in train for z in molecule.z}
    kept = [molecule for molecule in molecules if set(molecule.z.tolist()) <= elements]
    return kept, len(molecules) - len(kept)


if __name__ == "__main__":
    main()
