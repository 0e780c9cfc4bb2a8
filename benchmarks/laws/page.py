"""The tables of docs/laws.md, from the result files of benchmarks.laws."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

from benchmarks.laws.run import FOLDER, OPTIONS, peer_names, verdicts
from benchmarks.record import RESULTS
from pyg_mpnn.testing import FINDINGS, LAWS
from pyg_mpnn.testing.laws import OUTPUT_LAWS

PAGE = Path(__file__).parents[2] / "docs" / "laws_results.md"


def build() -> str:
    """The page, included by docs/laws.md."""
    cells = verdicts()
    own = [cell for cell in cells if cell["model"] in OPTIONS or "trained" in cell["model"]]
    peers = [cell for cell in cells if cell["model"] in peer_names()]
    timing = json.loads((FOLDER / "time.json").read_text())
    parts = [
        "## The laws\n\n" + statements(),
        "## Our potentials\n\nClosest to its tolerance: measured over allowed, with the law. Random weights on ethanol "
        "and a distorted primitive cell of silicon carbide; the trained ones on what they "
        "were trained on (diamond silicon and bcc lithium displaced by 0.05 A).\n\n" + own_table(own),
        f"The {timing['laws']} laws of that run on {timing['atoms']} atoms, base size, one core: "
        f"{timing['median_s']:.0f} s (median of {len(timing['seconds'])} runs).",
        "## PyG's SchNet, DimeNet++ and ViSNet\n\n"
        f"PyG {peers[0]['versions']['torch-geometric']}, random weights, on ethanol. What fails is listed with the "
        "largest measure beside what is allowed.\n\n" + "\n\n".join(peer_table(peers, dtype) for dtype in DTYPES),
        "## The smallest fault that each law catches\n\n" + doses(),
    ]
    return "\n\n".join(["<!-- made by python -m benchmarks.tables, do not edit -->", *parts]) + "\n"


DTYPES = ("float64", "float32")


def statements() -> str:
    """Every law in its own words."""
    rows = [[f"`{law.name}`", law.statement] for law in LAWS]
    rows += [[f"`{law.name}` (other outputs)", law.statement] for law in OUTPUT_LAWS]
    rows += [[f"`{law.name}` (told, no law)", law.statement] for law in FINDINGS]
    return table([["law", "says"], *rows])


def own_table(cells: list[dict[str, Any]]) -> str:
    """One row a model: laws that hold, and the closest call, in both precisions."""
    rows = [["model", "float64", "closest to its tolerance", "float32", "closest to its tolerance"]]
    for name in dict.fromkeys(cell["model"] for cell in cells):
        row = [name]
        for dtype in DTYPES:
            found = [cell for cell in cells if (cell["model"], cell["dtype"]) == (name, dtype)]
            row += summary(found[0]) if found else ["not run", ""]
        rows.append(row)
    newer = {law.name for cell in cells for law in LAWS if law.name not in cell["results"]}
    text = (
        f"\n\nRows with fewer laws than the list above are of runs older than {', '.join(sorted(newer))}."
        if newer
        else ""
    )
    return table(rows) + text


def summary(cell: dict[str, Any]) -> list[str]:
    """How many laws hold, and the closest call."""
    verdicts = [result["verdict"] for result in cell["results"].values()]
    failed = [name for name, result in cell["results"].items() if result["verdict"] == "fail"]
    told = f"{verdicts.count('pass')} hold" + (f", {verdicts.count('n/a')} n/a" if "n/a" in verdicts else "")
    if failed:
        return [f"{told}, **broken: {', '.join(failed)}**", ""]
    ratios = {
        name: result["value"] / result["tolerance"]
        for name, result in cell["results"].items()
        if result["verdict"] == "pass" and result["tolerance"] > 0.0
    }
    law = max(ratios, key=lambda name: ratios[name])
    return [told, f"{ratios[law]:.2g} ({law})"]


def peer_table(cells: list[dict[str, Any]], dtype: str) -> str:
    """Law by peer in one precision."""
    chosen = [cell for cell in cells if cell["dtype"] == dtype]
    rows = [[f"{dtype}", *(cell["model"] for cell in chosen)]]
    run = [law for law in LAWS if all(law.name in cell["results"] for cell in chosen)]
    for law in run:
        results = [cell["results"][law.name] for cell in chosen]
        if all(result["verdict"] == "n/a" for result in results):
            continue
        rows.append([law.name, *map(peer_entry, results)])
    left_out = [law.name for law in run if all(cell["results"][law.name]["verdict"] == "n/a" for cell in chosen)]
    newer = [law.name for law in LAWS if law not in run]
    text = f"Do not apply to any of them (no cell, no edge list in their call): {', '.join(left_out)}."
    return f"{table(rows)}\n\n{text}" + (f" Newer than these runs: {', '.join(newer)}." if newer else "")


def peer_entry(result: dict[str, Any]) -> str:
    """A verdict, with what was found where it is not a pass."""
    if result["verdict"] != "fail":
        return str(result["verdict"])
    if not result["checks"]:
        return f"**fail**: {textwrap.shorten(result['reason'], 50, placeholder=' ...')}".replace("|", "/")
    return f"**fail**: {float(result['value']):.2g} {result['unit']} (allowed {float(result['tolerance']):.1g})"


def doses() -> str:
    """For each law, the models that break it and the smallest dose that is caught."""
    records = json.loads((RESULTS / "laws" / "doses.json").read_text())["records"]
    rows = [["law", "broken model", "smallest dose caught", "measured there"]]
    for law in (*LAWS, *FINDINGS):
        for record in sorted(
            (record for record in records if record["law"] == law.name), key=lambda record: record["smallest_dose"]
        ):
            dose = f"{record['smallest_dose']:.0e}" if record["continuous"] else "on or off"
            star = "" if record["written"].startswith("without") else " (own)"
            measured = f"{float(record['value']):.1g} {record['unit']}" if record["unit"] else record["reason"]
            rows.append([law.name, f"{record['model']}{star}: {record['mistake']}", dose, measured])
    return table([[item.replace("|", "/") for item in row] for row in rows])


def table(rows: list[list[str]]) -> str:
    """Markdown of rows, the first of which is the header."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])
