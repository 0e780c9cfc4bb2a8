"""The tables of the grid: our cells, their slopes, and published values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.qm9.cell import CELLS
from benchmarks.record import RESULTS
from pyg_mpnn.data import QM9_TARGETS

FOLDER = RESULTS / "qm9"
NAMES = {"ours": "ours", "schnet": "SchNet (PyG)", "painn": "PaiNN (SchNetPack)"}
PUBLISHED = {
    "SchNet": "0.033 0.235 41 34 63 0.073 1.70 14 19 14 14 0.033",
    "PaiNN": "0.012 0.045 27.6 20.4 45.7 0.066 1.28 5.85 5.83 5.98 7.35 0.024",
    "DimeNet++": "0.0297 0.0435 24.6 19.5 32.6 0.331 1.21 6.32 6.28 6.53 7.56 0.0230",
}
"""Mean absolute errors, in the order of QM9_TARGETS and in its units, energies in meV; SOURCES says where from."""
PROTOCOL = (
    "Each cell is one training on the first n training molecules of a hashed split of a subset of QM9, 76,699 of the "
    "130,831 molecules, tested once on its test molecules (at 1,000 less two with fluorine, which no training molecule "
    "has). Minutes are of the wall clock: other programs ran beside, and some cells were stopped for a while (U0 at "
    "1,000 for half an hour). Script, molecules, loss, reference energies, batches, epochs and schedule are the same "
    "for all models; learning rates are the best of three on validation molecules where these were tried (tune/), else "
    "the default of ours and the published ones of the peers."
)
INTRODUCTION = (
    "Published mean absolute errors at 110,000 training molecules. They are not comparable one to one with ours: ours "
    "have fewer training molecules, and training and test molecules come from a subset of 76,699 of the 130,831."
)
SOURCES = (
    "SchNet: J. Chem. Phys. 148, 241722 (2018), arXiv:1712.06113. PaiNN: ICML 2021, arXiv:2102.03150. DimeNet++: table "
    "2 of arXiv:2011.14115. Each has a random split of its own with 110,000 molecules to train and 10,000 to validate "
    "(SchNet 1,000). The papers themselves were not at hand: all values are as the README of Ginformer "
    "(Geometry-Infused 3D Graph Transformer) quotes them; those of DimeNet++ as the README of DGL's "
    "examples/pytorch/dimenet does, to which Ginformer's agree, with the number of the table. SchNet's HOMO stands in "
    "issue 77 of SchNetPack too, PaiNN's gap (46 meV) in issue 674. Splits: the same issue 77, SchNetPack's "
    "configs/data/qm9.yaml (PaiNN), DGL's README (DimeNet++)."
)


def slope(cells: list[dict[str, Any]]) -> tuple[float, float | None] | None:
    """Exponent of the error against the number of molecules, from two sizes on; its standard error from three cells."""
    n = np.log([cell["cell"]["n"] for cell in cells])
    if len(set(n)) < 2:
        return None
    mae = np.log([cell["test_mae"] for cell in cells])
    centred = n - n.mean()
    value = (centred * mae).sum() / (centred**2).sum()
    if len(n) < 3:
        return float(value), None
    left = mae - mae.mean() - value * centred
    return float(value), float(np.sqrt((left**2).sum() / (len(n) - 2) / (centred**2).sum()))


def table(folder: Path = FOLDER) -> str:
    """Markdown table of all cells, and the slopes."""
    cells = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    if not cells:
        return "Not run yet."
    order = {target: place for place, target in enumerate(QM9_TARGETS)}
    cells.sort(key=lambda c: (order[c["cell"]["target"]], c["cell"]["model"], c["cell"]["n"], c["cell"]["seed"]))
    rows = [["target", "model", "molecules", "seed", "epochs", "minutes", "MAE", "composition alone", "mean alone"]]
    for cell in cells:
        scale, unit = (1e3, "meV") if cell["unit"] == "eV" else (1.0, cell["unit"])
        maes = [
            f"{scale * cell[key]:.4g} {unit}" for key in ("test_mae", "test_mae_of_composition", "test_mae_of_mean")
        ]
        which = cell["cell"]
        name = NAMES[which["model"]]
        if which["model"] == "ours":
            network = cell["config"].get("mpnn") or cell["config"]["representation"]  # of file format 3, and later
            name += f", {cell['size']}, {network['num_layers']} layers"
        plain = [which["target"], name, f"{which['n']:,}", str(which["seed"])]
        rows.append([*plain, str(cell["epochs"]), f"{cell['minutes']:.1f}", *maes])
    slopes = [["U0", "log-log slope of the error ± standard error", "molecules"]]
    for model, name in NAMES.items():
        found = [cell for cell in cells if (cell["cell"]["target"], cell["cell"]["model"]) == ("U0", model)]
        slopes.append([name, *_slope(found)])
    return f"{_markdown(rows)}\n\n{_markdown(slopes)}"


def _slope(cells: list[dict[str, Any]]) -> list[str]:
    sizes = ", ".join(f"{n:,}" for n in sorted({cell["cell"]["n"] for cell in cells}))
    found = slope(cells)
    if found is None:
        return ["not determined", sizes or "none"]
    return [f"{found[0]:.2f}" + (" (two cells: no error)" if found[1] is None else f" ± {found[1]:.2f}"), sizes]


def published() -> str:
    """Published errors of all targets, and where they were read."""
    rows = [["target", "unit", *PUBLISHED]]
    for place, (target, info) in enumerate(QM9_TARGETS.items()):
        unit = "meV" if info.unit == "eV" else info.unit
        rows.append([target, unit, *(values.split()[place] for values in PUBLISHED.values())])
    return f"{INTRODUCTION}\n\n{_markdown(rows)}\n\n{SOURCES}"


def section() -> str:
    """All of it, for the page of results."""
    missing = [cell.name for cell in CELLS if not (FOLDER / f"{cell.name}.json").exists()]
    not_run = f"Not run: {', '.join(missing) or 'none'}; and U0 at all training molecules."
    return f"{PROTOCOL}\n\n{table()}\n\n{not_run}\n\n{published()}"


def _markdown(rows: list[list[str]]) -> str:
    rows = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
