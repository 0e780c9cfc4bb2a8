"""Which laws do our potentials obey, in every size and option, and which do PyG's SchNet, DimeNet++ and ViSNet?

One JSON a model and precision in benchmarks/results/laws; cells that exist are skipped. Structures: ethanol and a
distorted primitive cell of silicon carbide, as shipped with the laws.

    python -m benchmarks.laws.run                                   all models, both precisions
    python -m benchmarks.laws.run --only base "SchNet, all pairs"   some of them
    python -m benchmarks.laws.run --trained run/best.ckpt           a checkpoint of pyg-mpnn train --data ethanol
    python -m benchmarks.laws.run --crystal si/best.ckpt            a checkpoint of benchmarks.periodic.crystals for Si
    python -m benchmarks.laws.run --time aspirin.npz                seconds of the whole kit on a 21-atom molecule
    python -m benchmarks.laws.run --smoke                           one model, a few laws
"""

from __future__ import annotations

import argparse
import functools
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from ase.build import bulk
from ase.data import chemical_symbols
from torch import nn
from torch_geometric.data import Data

from benchmarks.laws.peers import dimenet_plus_plus, schnet, visnet
from benchmarks.record import RESULTS, provenance, write
from pyg_mpnn import Potential
from pyg_mpnn.data import read_structures, to_data
from pyg_mpnn.testing import LAWS, Report, check_potential, crystal, laws, molecule

FOLDER = RESULTS / "laws"
REFERENCE = {1: -13.6, 6: -146.0, 8: -430.0, 14: -103.0}  # eV, of the size that pseudopotentials give
OPTIONS: dict[str, dict[str, Any]] = {
    "small": {},
    "base": {"size": "base"},
    "large": {"size": "large"},
    "small, sigmoid attention": {"attention": "sigmoid"},
    "small, softmax attention": {"attention": "softmax", "heads": 4},
    "small, two scales": {"cutoff": (3.0, 5.0)},
    "small, three scales, softmax": {"cutoff": (2.5, 3.5, 5.0), "attention": "softmax"},
    "small, three invariants": {"invariants": ("receiver", "sender", "pair")},
    "small, l_max 3": {"l_max": 3},
    "small, radial": {"directions": "radial"},
    "small, raw": {"directions": "raw", "symmetry": "unconstrained"},
    "small, Gaussian basis": {"basis": "gaussian"},
    "small, exp-normal basis": {"basis": "exp_normal"},
    "small, cosine cutoff": {"envelope": "cosine"},
    "small, bump cutoff": {"envelope": "bump"},
    "small, learned readout": {"readout": "learned"},
    "small, one head": {"potential_heads": "last"},
}
# Continuous derivatives of the energy that each declares by its cutoff function: cosine 1, DimeNet's envelope 2.
PEERS: dict[str, tuple[Callable[..., nn.Module], int]] = {
    "SchNet": (schnet, 1),
    "DimeNet++": (dimenet_plus_plus, 2),
    "ViSNet": (visnet, 1),
}
NAMES = {"Si": "silicon", "Li": "lithium"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", help="names of models")
    parser.add_argument("--trained", help="a checkpoint trained on ethanol")
    parser.add_argument("--crystal", help="a checkpoint trained on silicon or lithium")
    parser.add_argument("--time", help="file with a molecule of 21 atoms")
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.smoke:
        smoke()
    elif options.time:
        time_kit(options.time)
    elif options.trained:
        for dtype in (torch.float64, torch.float32):
            check_trained(options.trained, dtype, [molecule()], "base, trained on ethanol")
    elif options.crystal:
        for dtype in (torch.float64, torch.float32):
            element = chemical_symbols[Potential.load(options.crystal).elements[0]]
            check_trained(options.crystal, dtype, crystals(element), f"base, trained on {NAMES[element]}")
    else:
        for name in options.only or [*OPTIONS, *peer_names()]:
            for dtype in (torch.float64, torch.float32):
                check(name, dtype)


def ours(name: str) -> Potential:
    """A potential of ours with seeded random weights, scaled to an RMS force of 2 eV/A on ethanol."""
    torch.manual_seed(0)
    potential = Potential.from_size(**{"size": "small", **OPTIONS[name]})
    neighbors = [10.0] * len(potential.cutoffs)
    potential.set_reference(REFERENCE, 1.0, neighbors)
    forces = potential(molecule()).forces
    assert forces is not None
    potential.set_reference(REFERENCE, 2.0 / float(forces.detach().square().mean().sqrt()), neighbors)
    return potential


def peer_names() -> list[str]:
    """Each peer with all pairs and with its default bound."""
    return [f"{name}, {edges}" for name in PEERS for edges in ("all pairs", "32 neighbours")] + ["ViSNet, mended"]


def peer(name: str) -> tuple[nn.Module, int]:
    """A peer and the smoothness that it declares; "mended" lets ViSNet run in float64."""
    kind, edges = name.split(", ")
    build, smoothness = PEERS[kind]
    mend = {"mend_float64": True} if edges == "mended" else {}
    return build(max_num_neighbors=32 if edges == "32 neighbours" else None, **mend), smoothness


def check(name: str, dtype: torch.dtype) -> None:
    """Check one model in one precision, unless the cell exists."""
    if cell(name, dtype).exists():
        return
    if name in OPTIONS:
        potential = ours(name)
        rebuild = functools.partial(Potential.from_config, potential.config)
        report = check_potential(potential, [molecule(), crystal()], dtype=dtype, name=name, rebuild=rebuild)
    else:
        model, smoothness = peer(name)
        report = check_potential(model, molecule(), cutoff=5.0, smoothness=smoothness, dtype=dtype, name=name)
    record(report, dtype, "random weights, seed 0")


def check_trained(path: str, dtype: torch.dtype, structures: list[Data], name: str) -> None:
    """Check a trained potential; one of molecules in a cell for the periodic laws."""
    potential = Potential.load(path)
    rebuild = functools.partial(Potential.from_config, potential.config)
    report = check_potential(potential, structures, dtype=dtype, name=name, rebuild=rebuild)
    record(report, dtype, f"trained, {Path(path).name}")


def crystals(element: str) -> list[Data]:
    """The crystal of an element in its primitive cell (two of one atom) and its cubic one, every atom displaced."""
    cells = []
    for cubic in (False, True):
        atoms = bulk(element, a={"Si": 5.469, "Li": 3.44}[element], cubic=cubic)
        atoms = atoms if len(atoms) > 1 else atoms.repeat((2, 1, 1))
        atoms.rattle(0.05, seed=0)
        cells.append(to_data(atoms))
    return cells


def record(report: Report, dtype: torch.dtype, weights: str) -> None:
    """Write one cell."""
    print(report, flush=True)
    write(cell(report.model, dtype), provenance() | {"weights": weights, "units": "as given"} | report.to_dict())


def cell(name: str, dtype: torch.dtype) -> Path:
    """File of a model and precision."""
    slug = "-".join("".join(letter if letter.isalnum() or letter == "+" else " " for letter in name).split())
    return FOLDER / f"{slug}-{str(dtype).removeprefix('torch.')}.json"


def time_kit(path: str) -> None:
    """Seconds of all laws on one molecule, base size, float64: median of three runs."""
    frame = read_structures(path)[0]
    potential = ours("base")
    rebuild = functools.partial(Potential.from_config, potential.config)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        report = check_potential(potential, frame, dtype=torch.float64, rebuild=rebuild)
        times.append(time.perf_counter() - start)
    slowest = sorted(((result.seconds, name) for name, result in report.results.items()), reverse=True)[:5]
    content = {
        "model": "base, random weights",
        "atoms": len(frame.z),
        "laws": len(LAWS),
        "passed": report.passed,
        "seconds": sorted(times),
        "median_s": sorted(times)[1],
        "slowest_laws_s": {name: seconds for seconds, name in slowest},
    }
    write(FOLDER / "time.json", provenance() | content)


def smoke() -> None:
    """One peer and one of ours, a few laws."""
    chosen = [laws.rotation, laws.forces, laws.batch_independence]
    for model, cutoff in ((ours("small"), None), (peer("SchNet, all pairs")[0], 5.0)):
        report = check_potential(model, molecule(), cutoff=cutoff, dtype=torch.float64, laws=chosen)
        print(report)
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder) / "smoke.json", provenance() | report.to_dict())
    assert report.results["rotation"].verdict == "pass"


def verdicts() -> list[dict[str, Any]]:
    """All cells, ours first."""
    order = [
        *OPTIONS,
        "base, trained on ethanol",
        *(f"base, trained on {name}" for name in NAMES.values()),
        *peer_names(),
    ]
    cells = [cell(name, dtype) for name in order for dtype in (torch.float64, torch.float32)]
    return [json.loads(path.read_text()) for path in cells if path.exists()]


if __name__ == "__main__":
    main()
