"""Pages of the result files: benchmarks/results/README.md, docs/accuracy.md, docs/laws_results.md,
docs/engines_results.md, examples/architectures/README.md, and the tables in docs/learning.md.

python -m benchmarks.tables            writes the files
python -m benchmarks.tables --check    fails if a file is not what the result files give
"""

from __future__ import annotations

import json
import sys
from typing import Any

from benchmarks import architectures
from benchmarks.ablation import run as ablation
from benchmarks.engines import page as engines
from benchmarks.laws import page as laws
from benchmarks.learn import page as learning
from benchmarks.md17 import page as accuracy
from benchmarks.md17 import products, settings, train
from benchmarks.peers import table as peers
from benchmarks.periodic import crystals
from benchmarks.qm9 import table as qm9
from benchmarks.record import RESULTS
from benchmarks.speed import neighbors
from benchmarks.speed import page as speed
from benchmarks.speed import products as costs
from pyg_mpnn.training.ablation.report import markdown

PAGE = RESULTS / "README.md"


def main() -> None:
    pages = [(PAGE, build()), (architectures.PAGE, architectures.page())]
    for path, text in [*pages, *((made.PAGE, made.build()) for made in (accuracy, laws, engines, learning))]:
        if "--check" not in sys.argv[1:]:
            path.write_text(text)
            print(f"written to {path}")
        elif path.read_text() != text:
            sys.exit(f"{path} is not what the result files give: run python -m benchmarks.tables")


def build() -> str:
    """The page with all tables."""
    return "\n\n".join(
        [
            "# Results",
            "Made by `python -m benchmarks.tables` from the JSON files in this folder, which say the rest: commit, "
            "versions, device, threads, seeds.",
            "## rMD17, split 01: 950 + 50 frames to train, 1000 to test",
            "One seed. Published values: force MAE in meV/A from table 1 of arXiv:2206.07697, same protocol, without a "
            "limit of minutes.",
            train.table(),
            "The same with Adam, the default before Muon, at an older commit:",
            train.table(train.FOLDER / "adam"),
            "The same with the three layers that the base size had before, at an older commit:",
            train.table(train.FOLDER / "three-layers"),
            "## Products at the atom, layers, angles and widths: trainings on rMD17, split 01",
            "Force errors in meV/A, one seed; validation frames chose, test frames were used once.",
            products.table(),
            "Processor time of a call, compiled, one thread, and how many times that of base in the same run:",
            costs.table(),
            "## Settings: errors on 50 validation frames after equal epochs, time of eager steps",
            '"base" is the base size as it was then, with three layers; other rows change what their name says. '
            f"{settings.caption()} One thread; times are medians of interleaved runs.",
            settings.table(),
            "The comparison by which edge width and attention were chosen, on the model as it was then: contracted "
            "features with a network of their own; `base` means edge width 32 with sigmoid attention; asinh around "
            "invariant products only where the name says so. "
            f"{settings.caption(settings.FOLDER / 'earlier')}",
            settings.table(settings.FOLDER / "earlier"),
            "## Equal minutes, ours and the peers: rMD17, split 01, 950 + 50 frames to train, 1000 to test",
            peers.page(),
            "## Which building block pays?",
            blocks(),
            "## QM9",
            qm9.section(),
            "## Learning from a teacher",
            "[docs/learning.md](../../docs/learning.md) has the tables.",
            "## Dynamics",
            dynamics(),
            "## Crystals: mlearn's Si and Li (PBE), training + validation + test frames",
            "One seed. The frames reach from strained perfect crystals to the melt, with vacancies and surfaces. The "
            "set's own elastic constants are fitted to its frames strained by up to 10 %, as "
            "benchmarks/periodic/elastic.py says.",
            crystals.table(),
            "![Diamond Si: equation of state, shear, stress](periodic/si-base-seed0.png)",
            *speed.sections(),
            "## Periodic neighbour lists: silicon, cutoff 5 A, float64, one thread",
            "Median CPU time of a call; peak of the resident memory above that before the call, of which the edges "
            "(1,120 bytes/atom) stay.",
            neighbors.table(),
            "## Sums over neighbours: median microseconds, one thread",
            scatter(),
            "",
        ]
    )


def blocks() -> str:
    """What the comparison of building blocks found, molecule by molecule."""
    folders = sorted(path.parent for path in ablation.FOLDER.glob("*/grid.json"))
    parts = [
        f"### {folder.name}\n\n{markdown(folder)}\n\n![Errors](ablation/{folder.name}/pareto.png)" for folder in folders
    ]
    return "\n\n".join(parts) if parts else "Not run yet."


def dynamics() -> str:
    """What the NVE benchmark found."""
    found = json.loads((RESULTS / "nve_ethanol.json").read_text())
    rows = [f"| {name.replace('_', ' ')} | {value} |" for name, value in found["verdict"].items()]
    return (
        "\n".join(["| ethanol, NVE, float64 | |", "|---|---|", *rows])
        + "\n\n![Energy in NVE dynamics](nve_ethanol.png)"
    )


def scatter() -> str:
    """Times of each way to sum, side by side."""
    records = json.loads((RESULTS / "scatter.json").read_text())["records"]
    return "\n\n".join(
        scatter_table([record for record in records if record["work"] == work])
        for work in dict.fromkeys(record["work"] for record in records)
    )


def scatter_table(records: list[dict[str, Any]]) -> str:
    """One kind of sum."""
    ways = list(dict.fromkeys(record["way"] for record in records))
    keys = ("part", "atoms", "edges", "channels")
    rows = [f"| {' | '.join((records[0]['work'], *keys[1:], *ways))} |", "|---" * (len(keys) + len(ways)) + "|"]
    for size in dict.fromkeys(tuple(record[key] for key in keys) for record in records):
        found = {record["way"]: record for record in records if tuple(record[key] for key in keys) == size}
        times = [f"{found[way]['median_us']:.0f}" if "median_us" in found[way] else "none" for way in ways]
        rows.append(f"| {' | '.join(map(str, (*size, *times)))} |")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
