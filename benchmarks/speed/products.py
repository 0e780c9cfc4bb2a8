"""What do products at the atom cost, the subtraction of isolated atoms, ZBL? Compiled, beside base without any.

    python -m benchmarks.speed.products             writes benchmarks/results/products/cost.json
    python -m benchmarks.speed.products --no-training --only large --out cost-large.json
    python -m benchmarks.speed.products --smoke     eager, one round, nothing written

"base" is the MPNN of dec9c62 (isolated="free"). Rounds are interleaved; times are processor time of this process, so
that other programs on the core count as little as they can. One thread, float32.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.record import RESULTS, provenance, write
from benchmarks.speed.works import Structures, replicas, sample
from pyg_mpnn import Potential, neighbor_list


def gathered(*, hidden_channels: int = 128, channels: int = 32, l_max: int = 2) -> dict[str, Any]:
    """Two layers without a network on their edges."""
    sizes = {"channels": channels, "l_max": l_max}
    layer = {"class": "ProductInteraction", "in_channels": hidden_channels, "num_radial": 8, **sizes}
    return {"hidden_channels": hidden_channels, **sizes, "layers": [layer, layer]}


MODELS: dict[str, dict[str, Any]] = {
    "base": {"isolated": "free"},
    "base, isolated atoms zero": {},
    "base, isolated atoms zero, ZBL": {"zbl": True},
    "large": {"size": "large"},
    "large without products": {"size": "large", "num_products": 0},
    "three narrow layers": {"hidden_channels": 96, "edge_dim": 48, "num_layers": 3},
    "three narrow layers, three invariants": {
        "hidden_channels": 96,
        "edge_dim": 48,
        "num_layers": 3,
        "invariants": ("receiver", "sender", "pair"),
    },
    "three narrow layers, three invariants, 8 channels": {
        "hidden_channels": 96,
        "edge_dim": 48,
        "channels": 8,
        "num_layers": 3,
        "invariants": ("receiver", "sender", "pair"),
    },
    "three invariants, 8 channels": {"channels": 8, "invariants": ("receiver", "sender", "pair")},
    "base and a product": {"num_products": 1},
    "8 channels and a product": {"channels": 8, "num_products": 1},
    "8 channels, three invariants, a product": {
        "channels": 8,
        "invariants": ("receiver", "sender", "pair"),
        "num_products": 1,
    },
    "products": gathered(),
    "products, half as wide": gathered(hidden_channels=64, channels=16),
    "products, twice as wide": gathered(hidden_channels=256, channels=64),
    "products, l_max 3": gathered(l_max=3),
}
REFERENCE = {1: -13.6, 6: -1029.0, 8: -2041.8}
DISTANCES = {(1, 1): 1.5, (1, 6): 0.95, (1, 8): 0.9, (6, 6): 1.25, (6, 8): 1.1, (8, 8): 2.1}  # A, as in aspirin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--no-training", action="store_true", help="leave out the training step")
    parser.add_argument("--only", nargs="*", help="names of networks beside base")
    parser.add_argument("--out", default="cost.json", help="name of the file in benchmarks/results/products")
    options = parser.parse_args()
    for name in [name for name in MODELS if options.only is not None and name not in ("base", *options.only)]:
        del MODELS[name]
    torch.set_num_threads(1)
    works = {
        "one ethanol": (replicas(1), 10),
        "one aspirin": (sample("aspirin", 1), 10),
        "32 aspirin": (sample("aspirin", 32), 1),
    }
    steps = {} if options.no_training else {"training step, 8 aspirin": (sample("aspirin", 8), 1)}
    records = []
    for name, (structures, repeats) in {**works, **steps}.items():
        rounds = 1 if options.smoke else options.rounds
        records.append(compare(name, structures, repeats, rounds, trained=name in steps, smoke=options.smoke))
    if not options.smoke:
        units = "ms of processor time a call, median over the rounds"
        write(RESULTS / "products" / options.out, provenance() | {"dtype": "float32", "units": units, "works": records})


def compare(
    name: str, structures: Structures, repeats: int, rounds: int, *, trained: bool, smoke: bool
) -> dict[str, Any]:
    """Median times of all models, and the median over the rounds of the ratio to base."""
    calls = {model: make_call(config, structures, trained, smoke) for model, config in MODELS.items()}
    times: dict[str, list[float]] = {model: [] for model in calls}
    for _ in range(rounds):
        for model, call in calls.items():
            start = time.process_time()
            for _ in range(repeats):
                call()
            times[model].append((time.process_time() - start) / repeats)
    found = {}
    for model, values in times.items():
        ratio = statistics.median(value / base for value, base in zip(values, times["base"], strict=True))
        found[model] = {"ms": 1e3 * statistics.median(values), "ratio": ratio}
        print(f"{name}: {model}: {found[model]['ms']:.3f} ms, {ratio:.3f} of base", flush=True)
    return {"work": name, "rounds": rounds, "models": found}


def make_call(config: dict[str, Any], structures: Structures, trained: bool, smoke: bool) -> Callable[[], None]:
    """Energies and forces, or with the gradient of a loss; compiled and warm."""
    torch.manual_seed(0)
    potential = Potential.from_size(**{"size": "base", **config})
    potential.set_reference(REFERENCE, 1.0, [14.0])
    if potential.zbl is not None:
        potential.zbl.set_distances(DISTANCES)
    potential.compile("off" if smoke else "on").train(trained)
    pos = torch.from_numpy(structures.pos).float()
    batch = torch.arange(len(structures.num_atoms)).repeat_interleave(torch.from_numpy(structures.num_atoms))
    edges = neighbor_list(pos.double(), 5.0, batch=batch)
    z = torch.from_numpy(structures.z).long()

    def call() -> None:
        output = potential(z, pos, batch, edge_index=edges.edge_index)
        if trained:
            potential.zero_grad()
            assert output.forces is not None
            (output.forces.square().mean() + output.energy.mean()).backward()

    for _ in range(1 if smoke else 20):
        call()
    return call


def table() -> str:
    """Markdown table of the result file."""
    works = json.loads((RESULTS / "products" / "cost.json").read_text())["works"]
    names = list(works[0]["models"])
    rows = [["network", *(work["work"] for work in works)], ["---"] * (1 + len(works))]
    for name in names:
        found = [work["models"][name] for work in works]
        rows.append([name, *(f"{item['ms']:.2f} ms ({item['ratio']:.2f})" for item in found)])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


if __name__ == "__main__":
    main()
