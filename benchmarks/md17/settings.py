"""Which settings should the base size have? Error after equal epochs beside the time of a step, on aspirin and ethanol.

Each cell trains one potential (base, with the change that its name says) on the 950 + 50 training frames of split 01 of
rMD17 and keeps the errors on the 50 validation frames; the test frames are not touched. The steps are timed
afterwards, all settings interleaved in one process, eager, batch 8. Both parts write one JSON a cell and skip cells
that exist.

    python -m benchmarks.md17.settings train --molecule ethanol --data rmd17_ethanol_train_01.npz --epochs 20
    python -m benchmarks.md17.settings time --data rmd17_ethanol_train_01.npz rmd17_aspirin_train_01.npz
    python -m benchmarks.md17.settings table                      the Markdown table from the JSON
    python -m benchmarks.md17.settings train --smoke              one small cell on the shipped ethanol
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch_geometric.data import Batch

from benchmarks.record import RESULTS, provenance, write
from pyg_mpnn import Potential
from pyg_mpnn.data import StructureDataset, ethanol, read_structures
from pyg_mpnn.training import TrainingSettings, train

FOLDER = RESULTS / "settings"
SETTINGS: dict[str, dict[str, Any]] = {
    "base": {},
    "edge width 32": {"edge_dim": 32},
    "atom width 64": {"hidden_channels": 64},
    "8 channels": {"channels": 8},
    "l_max 1": {"l_max": 1},
    "l_max 3": {"l_max": 3},
    "2 layers": {"num_layers": 2},
    "attention sigmoid": {"attention": "sigmoid"},
    "attention softmax, 4 heads": {"attention": "softmax", "heads": 4},
    "invariants of both ends": {"invariants": ("receiver", "sender")},
    "two scales (3 and 5 A)": {"cutoff": (3.0, 5.0)},
    "radial": {"directions": "radial"},
}
REFERENCE: dict[str, Any] = {
    "hidden_channels": 128,
    "edge_dim": 64,
    "channels": 16,
    "l_max": 2,
    "num_layers": 3,
    "attention": None,
    "invariants": ("receiver",),
}
"""What "base" means in this comparison, whatever the size is changed to afterwards."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("train", "time", "table"))
    parser.add_argument("--molecule", default="ethanol", help="name in the result file")
    parser.add_argument("--data", nargs="+", help="rMD17 training file (train: one, time: one for each molecule)")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", help="names of the settings to run")
    parser.add_argument("--eager", action="store_true", help="do not compile the training step")
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.part == "table":
        print(table())
    elif options.part == "time":
        time_settings(options.data or ["ethanol"])
    elif options.smoke:
        options.epochs, options.eager = 1, True
        train_cell("8 channels", options, Path(tempfile.mkdtemp()))
    else:
        for name in options.only or SETTINGS:
            train_cell(name, options, FOLDER)


def build(name: str) -> Potential:
    """A potential of the named setting."""
    return Potential.from_size("base", **{**REFERENCE, "cutoff": 5.0, **SETTINGS[name]})


def train_cell(name: str, options: argparse.Namespace, folder: Path) -> None:
    """Train one setting on one molecule and write its errors."""
    path = folder / f"{options.molecule}-{slug(name)}.json"
    if path.exists():
        return
    data = options.data[0] if options.data else "ethanol"
    compiled = not options.eager
    with tempfile.TemporaryDirectory() as scratch:
        settings = TrainingSettings(
            data=data,
            out=f"{scratch}/run",
            cutoff=build(name).cutoffs,
            epochs=options.epochs,
            seed=options.seed,
            threads=1,
            compile="on" if compiled else "off",
        )
        torch.manual_seed(options.seed)
        frames = (ethanol("train")[:60] if options.smoke else None,)
        result = train(settings, build(name), frames=frames[0])
    errors = result.errors
    record = provenance() | {
        "setting": name,
        "molecule": options.molecule,
        "data": Path(data).name,
        "split": "rMD17 split 01, 950 training and 50 validation frames; errors on the validation frames",
        "epochs": options.epochs,
        "batch_size": settings.batch_size,
        "seed": options.seed,
        "compiled": compiled,
        "parameters": sum(parameter.numel() for parameter in result.potential.parameters()),
        "forces_mae_meV_per_A": errors.forces_mae_meV_per_A,
        "energy_mae_meV": errors.energy_mae_meV,
    }
    write(path, record)


def time_settings(files: list[str]) -> None:
    """Time a training step of batch 8 and energy + forces of one structure, all settings interleaved."""
    records = []
    for file in files:
        frames = ethanol("train") if file == "ethanol" else read_structures(file)
        works = {name: make_works(name, frames[:8]) for name in SETTINGS}
        times: dict[tuple[str, str], list[float]] = {}
        for _ in range(13):
            for name, pair in works.items():
                for work, function in pair.items():
                    start = time.perf_counter()
                    function()
                    times.setdefault((name, work), []).append(1e3 * (time.perf_counter() - start))
        for (name, work), values in times.items():
            kept = sorted(values[3:])
            records.append(
                {
                    "setting": name,
                    "data": Path(file).name,
                    "work": work,
                    "median_ms": statistics.median(kept),
                    "p10_ms": kept[1],
                    "p90_ms": kept[-2],
                }
            )
    write(FOLDER / "times.json", provenance() | {"mode": "eager, float32", "repeats": 10, "records": records})


def make_works(name: str, frames: list[Any]) -> dict[str, Callable[[], object]]:
    """The two timed functions of one setting."""
    torch.manual_seed(0)
    potential = build(name)
    data = StructureDataset(frames, potential.cutoffs)
    batch, single = (Batch.from_data_list([data[k] for k in range(n)]) for n in (8, 1))

    def step() -> None:
        potential.train()
        output = potential(batch)
        assert output.forces is not None
        (output.forces.square().mean() + output.energy.square().mean()).backward()

    def evaluate() -> None:
        potential.eval()
        potential(single)

    return {"training step, batch 8": step, "energy and forces, one structure": evaluate}


def read_cells() -> list[dict[str, Any]]:
    """All trained cells."""
    return [json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json")) if path.name != "times.json"]


def caption() -> str:
    """How the cells were trained."""
    found = {(cell["molecule"], cell["epochs"], cell["batch_size"], cell["seed"]) for cell in read_cells()}
    return " ".join(
        f"{molecule}: {epochs} epochs, batch {batch}, seed {seed}." for molecule, epochs, batch, seed in sorted(found)
    )


def table() -> str:
    """Markdown table of all cells."""
    cells = read_cells()
    times = json.loads((FOLDER / "times.json").read_text())["records"]
    molecules = sorted({cell["molecule"] for cell in cells})
    header = ["setting", "parameters"]
    for molecule in molecules:
        header += [f"{molecule} forces (meV/A)", "energy (meV)", "step (ms)", "E+F (ms)"]
    rows = [header, ["---"] * len(header)]
    earlier = dict.fromkeys(cell["setting"] for cell in cells if cell["setting"] not in SETTINGS)
    for name in (*SETTINGS, *earlier):
        row = [name, ""]
        for molecule in molecules:
            cell = next((c for c in cells if (c["setting"], c["molecule"]) == (name, molecule)), None)
            if cell is None:
                row += ["not run"] * 2
            else:
                row[1] = f"{cell['parameters']:,}"
                row += [f"{cell['forces_mae_meV_per_A']:.1f}", f"{cell['energy_mae_meV']:.1f}"]
            for work in ("training step, batch 8", "energy and forces, one structure"):
                found = [t for t in times if t["setting"] == name and molecule in t["data"] and t["work"] == work]
                row.append(f"{found[0]['median_ms']:.1f}" if found else "not run")
        rows.append(row)
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def slug(name: str) -> str:
    """Name of a setting as part of a file name."""
    return "".join(letter if letter.isalnum() else "-" for letter in name).replace("--", "-").strip("-")


if __name__ == "__main__":
    main()
