"""docs/accuracy.md from the result files: `python -m benchmarks.tables` writes it."""

from __future__ import annotations

import json
import statistics
from typing import Any

from benchmarks.md17.train import PUBLISHED
from benchmarks.peers.table import Results
from benchmarks.record import RESULTS

PAGE = RESULTS.parents[1] / "docs" / "accuracy.md"
DEFAULT = {
    "products/small-organic-aspirin-25min.json": "small, from organic-small",
    "products/organic-aspirin-35min.json": "base, from organic",
    "products/mpnn-aspirin-10min.json": "base",
    "products/organic-ethanol-25min.json": "base, from organic",
    "products/mpnn-ethanol-10min.json": "base",
    "md17/aspirin-base-seed0.json": "base",
    "md17/ethanol-base-seed0.json": "base",
    "products/large-and-product-aspirin-65min.json": "large",
    "products/large-and-product-ethanol-30min.json": "large",
    "products/large-ethanol-75min.json": "large, learning rate 0.006",
    "products/small-organic-ethanol-25min.json": "small, from organic-small",
}
"""Trainings of a size with the defaults of today, whose test frames were used once: file, and size and start."""

PEERS = {"schnet": "PyG's SchNet", "painn": "SchNetPack's PaiNN", "mace-64": "MACE, 64x0e", "ours": "base, with Adam"}
MOLECULES = ("aspirin", "ethanol")


def trainings() -> list[dict[str, Any]]:
    """The trainings of ``DEFAULT`` that have been run, each with its size."""
    paths = {RESULTS / file: size for file, size in DEFAULT.items()}
    return [json.loads(path.read_text()) | {"size": size} for path, size in paths.items() if path.exists()]


def cost_of_large(work: str) -> float:
    """Time of large over that of base, compiled, measured in turn in one run."""
    works = json.loads((RESULTS / "products" / "cost-large.json").read_text())["works"]
    ratio: float = next(one["models"]["large"]["ratio"] for one in works if one["work"] == work)
    return ratio


def cost_of_small(molecule: str, structures: int) -> float:
    """Time of small over that of base, compiled, measured in turn in one run."""
    small, base = (Results(molecule).fastest(model, structures) for model in ("ours-small", "ours"))
    assert small is not None
    assert base is not None
    ratio: float = small["us_per_atom"] / base["us_per_atom"]
    return ratio


def build() -> str:
    """The text of the page."""
    rows = ["| molecule | size | minutes | force MAE (meV/Å) | energy MAE (meV) |", "|---|---|---|---|---|"]
    for found in sorted(trainings(), key=lambda found: (found["molecule"], found["minutes"])):
        test = found["test"]
        rows.append(
            f"| {found['molecule']} | {found['size']} | {found['minutes']:g} | "
            f"{test['forces_mae_meV_per_A']:.1f} | {test['energy_mae_meV']:.1f} |"
        )
    small = [cost_of_small("ethanol", 1), cost_of_small("aspirin", 1), cost_of_small("aspirin", 32)]
    large = [cost_of_large(work) for work in ("one ethanol", "one aspirin", "32 aspirin")]
    costs = ["| size | one ethanol | one aspirin | 32 aspirin |", "|---|---|---|---|"]
    for size, ratios in {"small": small, "base": [1.0, 1.0, 1.0], "large": large}.items():
        costs.append(f"| {size} | " + " | ".join(f"{ratio:.1f}" for ratio in ratios) + " |")
    methods = ("MACE", "Allegro", "NequIP", "PaiNN", "ACE")
    published = ["| force MAE (meV/Å) | " + " | ".join(methods) + " |", "|---" * (len(methods) + 1) + "|"]
    for molecule in MOLECULES:
        published.append(f"| {molecule} | " + " | ".join(str(PUBLISHED[molecule][name]) for name in methods) + " |")
    equal = ["| ten minutes, force MAE (meV/Å) | aspirin | ethanol |", "|---|---|---|"]
    results = {molecule: Results(molecule) for molecule in MOLECULES}
    for model, name in PEERS.items():
        equal.append(
            f"| {name} | " + " | ".join(_mean(results[molecule].forces(model)) for molecule in MOLECULES) + " |"
        )
    return f"""# How accurate, in how many minutes?

```{{image}} images/error_time.png
:alt: Force error on aspirin against the time of its energy and forces, beside SchNet, PaiNN and MACE
```

rMD17, split 01: 950 frames to train, 50 to validate, errors of the 1000 test frames. One core, compiled, the defaults
of `pyg-mpnn train`, **one seed each**: differences of 0.3 meV/Å are within what a seed does. "From organic" is
`--start-from organic --learning-rate 0.003` (or `organic-small`): weights that know GFN2-xTB of other molecules
([training](training.md#from-a-potential-that-comes-with-the-package)).
Ethanol with base was trained twice with the same seed and settings: a training that ends by the clock is not repeated
to the last step.

{_lines(rows)}

What a size costs in use, energies and forces, compiled, over base in the same run:

{_lines(costs)}

Published values by the same protocol, without a limit of minutes (table 1 of arXiv:2206.07697):

{_lines(published)}

In equal minutes of one core, each model with the best of three learning rates (mean of the seeds that were run; ours
with Adam, its default then: base with the default of today is in the first table):

{_lines(equal)}

Which size and how long for your structures: [which size, how long](gallery/good_enough.rst), and
`pyg-mpnn inspect --data FILE --learning-curve` trains on parts of them and says what more frames would bring. What each
block brings: [which block pays](blocks.md). QM9, crystals, all tables:
`benchmarks/results/README.md`.

Not measured: three seeds, the other five molecules with the sizes of today, 200 frames, 50 for more than
[a minute and a half](training.md#from-a-potential-that-comes-with-the-package), energies far from
the training (H removal, dimers), longer than {max(found["minutes"] for found in trainings()):g} minutes.

Made by `python -m benchmarks.tables`; the trainings by `benchmarks.md17.products` and `benchmarks.md17.train`.
"""


def _mean(errors: dict[int, float]) -> str:
    return f"{statistics.fmean(errors.values()):.1f}" if errors else "-"


def _lines(rows: list[str]) -> str:
    return "\n".join(rows)
