"""The result files of `compare.py` as Markdown tables.

python -m benchmarks.speed.table FILE [FILE ...]     prints them
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.speed.models import MODELS

Record = dict[str, Any]
FLOOR = "floor"
CUTOFF = 5.0

# Ratios that say whether the aim is met: work, ours in this mode, divided by the best mode of, at most.
BARS = (
    ("aspirin", "schnet", 1 / 2),
    ("aspirin", "mace-64", 1 / 4),
    ("aspirin32", "schnet", 1 / 2),
    ("aspirin32", "painn", 1 / 4),
    ("aspirin32", "tensornet", 1 / 4),
    ("train32", "schnet", 1 / 3),
    ("train32", "mace-64", 1 / 5),
)
FLOOR_BAR = ("aspirin32", 2.5)
LARGE = 8000  # atoms, from which time and memory must grow linearly
FLAT = {"us_per_atom": 0.25, "bytes_per_atom": 0.20}
MOST_BYTES = 20e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    print(table([record for file in parser.parse_args().files for record in records_of(file)]))


def records_of(file: Path) -> list[Record]:
    """Records of a result file, each with the name of the file as its ``run``: only times of one run are compared."""
    return [record | {"run": file.stem} for record in json.loads(file.read_text())["records"]]


def table(records: list[Record]) -> str:
    """Times of every work, the ratios that were aimed at, growth with the size of crystals, errors."""
    parts = [times(group) for group in _groups(records, "run", "threads", "work", "cutoff_A")]
    return "\n\n".join(part for part in [bars(records), *parts, growth(records), errors(records)] if part)


def times(records: list[Record]) -> str:
    """One work of one run: a line for every model and mode that ran."""
    ran = [record for record in records if "error" not in record and record["mode"] != FLOOR]
    if not ran:
        return ""
    head = ["model", "mode", "ms", "10 to 90 %", "us/atom", "peak MB", "parameters", "x floor"]
    lines = [_title(ran), "", row(head), "|---" * len(head) + "|"]
    for record in sorted(ran, key=lambda record: record["median_ms"]):
        floor = record.get("matmul_floor_ms")
        cells = [record["model"], record["mode"], number(record["median_ms"])]
        cells += [f"{number(record['p10_ms'])} to {number(record['p90_ms'])}", number(us_per_atom(record))]
        cells += [f"{record['peak_memory_mb']:.0f}" if "peak_memory_mb" in record else ""]
        cells += [f"{record['parameters']:,}" if record.get("parameters") else ""]
        cells += [f"{record['median_ms'] / floor:.2f}" if floor else ""]
        lines.append(row(cells))
    return "\n".join(lines)


def bars(records: list[Record]) -> str:
    """Ours against the peers in the same run, eager against eager and best mode against best mode, one thread."""
    lines = []
    for run in _groups(records, "run"):
        for work, peer, most in BARS:
            hidden = MODELS[peer].undocumented
            lines += bar(run, work, peer, most, leave_out=hidden)
            if hidden:
                lines += bar(run, work, peer, most, note=f", with {', '.join(hidden)}, not documented there")
        lines += floor_bar(run)
    head = row(["file", "work", "ratio of medians", "eager", "best modes", "which", "at most", "met"])
    return "\n".join(["Against the aims, one thread:", "", head, "|---" * 8 + "|", *lines]) if lines else ""


def bar(
    records: list[Record], work: str, peer: str, most: float, leave_out: tuple[str, ...] = (), note: str = ""
) -> list[str]:
    """The line of one ratio, if both were measured."""
    ours, other = (by_mode(records, model, work) for model in ("ours", peer))
    other = {mode: other[mode] for mode in other if mode not in leave_out}
    if not ours or not other:
        return []
    best = min(ours.values()) / min(other.values())
    eager = f"{ours['eager'] / other['eager']:.2f}" if "eager" in ours and "eager" in other else ""
    modes = f"{min(ours, key=lambda mode: ours[mode])} / {min(other, key=lambda mode: other[mode])}"
    cells = [f"{records[0]['run']}.json", work, f"ours / {peer}{note}", eager, f"{best:.2f}", modes, f"{most:.2f}"]
    return [row([*cells, "yes" if best <= most else "no"])]


def floor_bar(records: list[Record]) -> list[str]:
    """The line of the ratio to the matrix products alone, if it was measured."""
    work, most = FLOOR_BAR
    lines = []
    for record in records:
        key = (record["model"], record["mode"], record["work"], record["threads"])
        if key == ("ours", "compiled", work, 1) and "matmul_floor_ms" in record and "error" not in record:
            ratio = record["median_ms"] / record["matmul_floor_ms"]
            cells = [f"{record['run']}.json", work, "ours / matrix products", "", f"{ratio:.2f}", "compiled"]
            lines.append(row([*cells, f"{most:.2f}", "yes" if ratio <= most else "no"]))
    return lines


def growth(records: list[Record]) -> str:
    """How far time and memory per atom of large crystals are from constant, for ours."""
    lines = []
    for group in _groups(records, "run", "threads", "model", "mode"):
        large = [
            record
            for record in group
            if record["work"].startswith("silicon") and record.get("atoms", 0) >= LARGE and "median_ms" in record
        ]
        if len(large) < 2 or large[0]["mode"] == FLOOR:
            continue
        spreads = {}
        for name, value in (("us_per_atom", us_per_atom), ("bytes_per_atom", bytes_per_atom)):
            values = [value(record) for record in large if value(record)]
            spreads[name] = max(values) / min(values) - 1 if values else float("nan")
        most = max(record.get("process_peak_mb", 0) for record in large) * 1e6
        met = all(spreads[name] <= FLAT[name] for name in FLAT) and most <= MOST_BYTES
        sizes = f"{min(record['atoms'] for record in large):,} to {max(record['atoms'] for record in large):,}"
        cells = [large[0]["model"], large[0]["mode"], str(large[0]["threads"]), sizes]
        cells += [f"{100 * spreads[name]:.0f} %" for name in FLAT] + [f"{most / 1e9:.1f}", "yes" if met else "no"]
        lines.append(row(cells))
    head = [
        "model",
        "mode",
        "threads",
        "atoms",
        "us/atom within",
        "bytes/atom within",
        "process GB",
        "met (25 %, 20 %, 20)",
    ]
    return "\n".join(["Growth with the size of silicon:", "", row(head), "|---" * 8 + "|", *lines]) if lines else ""


def errors(records: list[Record]) -> str:
    """What did not run, and why."""
    reasons: dict[tuple[str, str, str], list[str]] = {}
    for record in records:
        if "error" in record:
            reasons.setdefault((record["model"], record["mode"], record["error"]), []).append(record["work"])
    lines = [
        row([model, mode, ", ".join(dict.fromkeys(works)), error.replace("|", "/")])
        for (model, mode, error), works in reasons.items()
    ]
    return (
        "\n".join(["Did not run:", "", row(["model", "mode", "works", "reason"]), "|---" * 4 + "|", *lines])
        if lines
        else ""
    )


def by_mode(records: list[Record], model: str, work: str) -> dict[str, float]:
    """Median ms of a model by mode, with one thread at the common cutoff."""
    return {
        record["mode"]: record["median_ms"]
        for record in records
        if (record["model"], record["work"], record["threads"], record["cutoff_A"]) == (model, work, 1, CUTOFF)
        and record["mode"] != FLOOR
        and "error" not in record
    }


def us_per_atom(record: Record) -> float:
    """Microseconds per atom."""
    return float(1e3 * record["median_ms"] / record["atoms"])


def bytes_per_atom(record: Record) -> float:
    """Peak memory above the baseline per atom, 0 where it was not measured."""
    return float(1e6 * record.get("peak_memory_mb", 0) / record["atoms"])


def _groups(records: list[Record], *names: str) -> Iterable[list[Record]]:
    groups: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        groups.setdefault(tuple(record.get(name) for name in names), []).append(record)
    return groups.values()


def _title(records: list[Record]) -> str:
    first = records[0]
    threads = "1 thread" if first["threads"] == 1 else f"{first['threads']} threads"
    title = f"{first['work']}: {first['atoms']:,} atoms, {first['edges']:,} edges ({first['cutoff_A']:g} A), {threads}"
    if first["work"] == "dynamics":
        title += "; steps per second = 1000 / ms"
    if first["work"] == "ethanol64":
        title += "; steps of a replica per second = 64,000 / ms"
    return f"{title} (`{first['run']}.json`)"


def number(value: float) -> str:
    """Three digits, or whole numbers with commas."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def row(cells: list[str]) -> str:
    """A line of a Markdown table."""
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
