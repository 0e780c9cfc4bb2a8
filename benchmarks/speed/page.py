"""The part of benchmarks/results/README.md about time and memory."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.record import RESULTS
from benchmarks.speed import table

FOLDER = RESULTS / "speed"
# files of compare.py
COMPARISONS = (
    *("inference", "training", "training-others", "dynamics", "defaults"),
    *("silicon", "silicon-peers", "silicon-largest", "two-threads"),
)


def sections() -> list[str]:
    """Headings and tables."""
    return [
        "## Speed: ours and the peers on the same edges",
        "Energies and forces, or a training step, of one process for each model and mode; calls in rounds over all "
        'models, but silicon, where one follows the other. "x floor" is the time over that of the matrix products '
        "alone, measured at their own shapes in the same run. Peers with random weights, in the configurations that "
        "benchmarks/speed/models.py names; models of this package as shipped, their errors after training are above. "
        "Each table is one run; different runs need not be of one machine, so ratios are taken within a table.",
        table.table(records()),
        "![Time of the models](speed/speed.png)",
        "## Where the time of energies and forces goes: blocks of base, eager, one thread",
        "Each block alone on the tensors that it gets inside the potential; `kept` is what it holds for the backward "
        "pass. The whole also has gathers, sums and additions between them; times vary by some percent.",
        blocks(),
        "## A step of dynamics: one aspirin, base, float32, one thread",
        step(),
        "## Compiling base: seconds from the first call to its result",
        compiling(),
        "## Freed memory kept, and the C library's defaults",
        "Base, one thread; milliseconds, each number the median of a process of its own, all in the same rounds. "
        "In the tables above, each package leaves the C library as it does for its users: ours keeps freed memory, in "
        "compiled modes. With freed memory kept for all packages: `speed/inference-kept.json` and "
        "`speed/training-kept.json`.",
        allocator(),
        "## Compiled code of two threads under heap checks",
        two_threads(),
    ]


def records() -> list[dict[str, Any]]:
    """All records of the comparisons that are there."""
    files = [FOLDER / f"{name}.json" for name in COMPARISONS]
    return [record for file in files if file.exists() for record in table.records_of(file)]


def blocks() -> str:
    """Milliseconds and megabytes of each block, side by side for each work."""
    found = json.loads((RESULTS / "blocks.json").read_text())["records"]
    works = list(dict.fromkeys(record["work"] for record in found))
    head = ["block", *(f"{work}: forward + backward (ms), kept (MB)" for work in works)]
    rows = [table.row(head), "|---" * len(head) + "|"]
    for block in dict.fromkeys(record["block"] for record in found):
        cells = [block]
        for work in works:
            record = next((entry for entry in found if (entry["work"], entry["block"]) == (work, block)), None)
            if record is None:
                cells.append("not run")
                continue
            weights = f" + {table.number(record['weights_ms'])}" if record.get("weights_ms", 0) > 0.1 else ""
            times = f"{table.number(record['forward_ms'])} + {table.number(record['backward_ms'])}{weights}"
            cells.append(f"{times}, {table.number(record['kept_mb'])}")
        rows.append(table.row(cells))
    return "\n".join(rows)


def step() -> str:
    """Median milliseconds of each part, and the share of the model, in brackets its least and largest of the rounds."""
    found = json.loads((RESULTS / "step.json").read_text())["records"]
    parts = list(dict.fromkeys(part for record in found for part in record["median_ms"]))
    rows = [table.row(["compile", *(f"{part} (ms)" for part in parts), "share in the model"])]
    rows.append("|---" * (len(parts) + 2) + "|")
    for record in found:
        times = [f"{record['median_ms'][part]:.3f}" if part in record["median_ms"] else "" for part in parts]
        share = f"{record['share_in_model']:.0%} ({record['least_share']:.0%} to {record['largest_share']:.0%})"
        rows.append(table.row([record["compile"], *times, share]))
    return "\n".join(rows)


def compiling() -> str:
    """Seconds with an empty and with a filled cache."""
    found = json.loads((RESULTS / "compiling.json").read_text())
    rows = [
        table.row(["work", f"nothing kept ({found['cores']} cores)", "kept by an earlier process"]),
        "|---|---|---|",
    ]
    for work in dict.fromkeys(record["work"] for record in found["records"]):
        times = {record["cache"]: record["seconds"] for record in found["records"] if record["work"] == work}
        rows.append(table.row([work, table.number(times["cold"]), table.number(times["kept"])]))
    return "\n".join(rows)


def allocator() -> str:
    """Milliseconds of each process with both settings."""
    found = json.loads((RESULTS / "allocator.json").read_text())["records"]
    rows = [table.row(["work", "mode", "kept", "defaults"]), "|---|---|---|---|"]
    for work, mode in dict.fromkeys((record["work"], record["mode"]) for record in found):
        cells = {
            record["setting"]: ", ".join(table.number(value) for value in record["median_ms_of_each_process"])
            for record in found
            if (record["work"], record["mode"]) == (work, mode)
        }
        rows.append(table.row([work, mode, cells["kept"], cells["defaults"]]))
    return "\n".join(rows)


def two_threads() -> str:
    """How the processes ended, and at which commit they ran."""
    found = json.loads((RESULTS / "two_threads.json").read_text())["paths"]
    rows = [table.row(["path", "processes", "ends", "commit"]), "|---|---|---|---|"]
    for record in found:
        ends = ", ".join(f"{count} {end}" for end, count in record["ends"].items())
        rows.append(table.row([record["path"], str(record["processes"]), ends, record["commit"][:7]]))
    return "\n".join(rows)
