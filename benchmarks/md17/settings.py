"""The comparison by which the defaults of the base size were chosen: tables of the committed cells.

Errors after equal epochs, and times of eager steps, on aspirin and ethanol; the script that made the cells is in the
history of this file, at the commit that each cell names. New comparisons are made by `benchmarks.ablation`, in equal
minutes and with seeds.

python -m benchmarks.md17.settings        prints the Markdown table
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.record import RESULTS

FOLDER = RESULTS / "settings"
ORDER = (
    "base",
    "edge width 32",
    "atom width 64",
    "8 channels",
    "l_max 1",
    "l_max 3",
    "2 layers",
    "attention sigmoid",
    "attention softmax, 4 heads",
    "invariants of both ends",
    "two scales (3 and 5 A)",
    "radial",
)


def read_cells(folder: Path = FOLDER) -> list[dict[str, Any]]:
    """All trained cells."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json")) if path.name != "times.json"]


def caption(folder: Path = FOLDER) -> str:
    """How the cells were trained."""
    found = {(cell["molecule"], cell["epochs"], cell["batch_size"], cell["seed"]) for cell in read_cells(folder)}
    return " ".join(
        f"{molecule}: {epochs} epochs, batch {batch}, seed {seed}." for molecule, epochs, batch, seed in sorted(found)
    )


def table(folder: Path = FOLDER) -> str:
    """Markdown table of all cells."""
    cells = read_cells(folder)
    times = json.loads((folder / "times.json").read_text())["records"]
    molecules = sorted({cell["molecule"] for cell in cells})
    header = ["setting", "parameters"]
    for molecule in molecules:
        header += [f"{molecule} forces (meV/A)", "energy (meV)", "step (ms)", "E+F (ms)"]
    rows = [header, ["---"] * len(header)]
    trained = dict.fromkeys(cell["setting"] for cell in cells)
    for name in sorted(trained, key=lambda name: [*ORDER, *trained].index(name)):
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


if __name__ == "__main__":
    print(table())
