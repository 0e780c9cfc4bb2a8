"""Which blocks take the time and the memory of energies and forces, forward and backward?

Every block of base is given, alone, the tensors that it gets inside the potential, and timed; eager, so that the blocks
can be told apart. Memory is what a block keeps for the backward pass, each storage counted once and weights left out.

python -m benchmarks.speed.blocks             writes benchmarks/results/blocks.json
python -m benchmarks.speed.blocks --smoke     one molecule, two repetitions, nothing written
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from benchmarks.record import RESULTS, provenance, write
from benchmarks.speed.works import sample, silicon, with_edges
from pyg_mpnn import Potential
from pyg_mpnn.geometry import edge_vectors

WORKS = {
    "one aspirin": lambda: sample("aspirin", 1),
    "32 aspirin": lambda: sample("aspirin", 32),
    "9680 Si": lambda: silicon(11, 11, 10),
}
LARGEST_TRAINED = 1000  # atoms; a training step of the crystal would need some 20 GB
SHOWN = {  # class of a block: name in the table
    "AtomEmbedding": "embedding",
    "BesselBasis": "radial basis",
    "PolynomialCutoff": "cutoff function",
    "DirectionalBasis": "spherical harmonics",
    "DirectionalDensity": "density",
    "ContractedFeatures": "contracted features",
    "EdgeMLP": "edge network",
    "DensityUpdate": "density update",
    "DensityPowers": "powers",
    "NodeUpdate": "node update",
    "AtomwiseEnergy": "energy heads",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    records = []
    for name in list(WORKS)[: 1 if options.smoke else None]:
        repeats = 2 if options.smoke else 3 if name.endswith("Si") else 30
        records += profile(name, repeats)
    if options.smoke:
        print(json.dumps(records, indent=2))
    else:
        write(RESULTS / "blocks.json", provenance() | {"model": "base", "dtype": "float32", "records": records})


def profile(name: str, repeats: int) -> list[dict[str, Any]]:
    """Time and kept memory of each block, and of the whole: energies, forces, and a training step's gradient."""
    torch.manual_seed(0)
    arrays = {key: torch.from_numpy(value) for key, value in with_edges(WORKS[name](), 5.0).items()}
    potential = Potential.from_size("base")
    potential.set_reference({1: -13.6, 6: -1029.0, 8: -2041.0, 14: -7800.0}, 1.0, [14.0])
    calls = captured(potential, arrays)
    records = []
    for shown in SHOWN.values():
        found = [measure(call, repeats) for call in calls if SHOWN[type(call.block).__name__] == shown]
        sums = {key: sum(record[key] for record in found) for key in ("forward_ms", "backward_ms", "kept_mb")}
        records.append({"work": name, "block": shown, "calls": len(found)} | sums)
    parts = (("energies", False, False), ("forces", True, False), ("training", True, True))
    for part, forces, weights in parts[: 3 if len(arrays["z"]) <= LARGEST_TRAINED else 2]:
        whole = measure_whole(potential, arrays, forces, weights, repeats)
        records.append({"work": name, "block": f"whole: {part}"} | whole)
    atoms = {"atoms": len(arrays["z"]), "edges": arrays["edge_index"].shape[1]}
    for record in records:
        record.update(atoms)
        print(record, flush=True)
    return records


class Call(NamedTuple):
    """A call of a block inside the potential."""

    block: nn.Module
    function: Callable[..., Tensor]
    arguments: tuple[Any, ...]


def captured(potential: Potential, arrays: dict[str, Tensor]) -> list[Call]:
    """Every call of a block in one evaluation, with its arguments."""
    calls: list[Call] = []
    hooks = [
        module.register_forward_pre_hook(lambda module, arguments: calls.append(Call(module, module, arguments)))
        for module in potential.modules()
        if type(module).__name__ in SHOWN
    ]
    with torch.no_grad():
        energies(potential, arrays, arrays["pos"])
    for hook in hooks:
        hook.remove()
    return calls


def energies(potential: Potential, arrays: dict[str, Tensor], pos: Tensor) -> Tensor:
    """Energies of the atoms, without checks."""
    edge_index, batch = arrays["edge_index"], arrays["batch"]
    vectors = edge_vectors(pos, edge_index) + arrays["shift_vec"]
    return potential.interaction_energies(arrays["z"], edge_index, vectors, batch, int(batch[-1]) + 1)


def measure(call: Call, repeats: int) -> dict[str, float]:
    """Milliseconds forward and backward, and what is kept between them, of one call of a block."""
    kept = Kept(call.block)
    forward, backward = [], []
    for _ in range(repeats + 1):
        given = [fresh(argument) for argument in call.arguments]
        leaves = [t for item in given for t in (item if isinstance(item, list) else [item]) if wants_gradient(t)]
        with kept:
            start = time.perf_counter()
            result = call.function(*given)
            middle = time.perf_counter()
        if leaves:
            torch.autograd.grad(result, leaves, torch.ones_like(result), allow_unused=True)
        forward.append(middle - start)
        backward.append(time.perf_counter() - middle)
    return {
        "forward_ms": 1e3 * statistics.median(forward[1:]),
        "backward_ms": 1e3 * statistics.median(backward[1:]) if leaves else 0.0,
        "kept_mb": kept.bytes / 1e6,
    }


def measure_whole(
    potential: Potential, arrays: dict[str, Tensor], forces: bool, weights: bool, repeats: int
) -> dict[str, float]:
    """Milliseconds of energies, of forces, and of a gradient with respect to the weights."""
    kept = Kept(potential)
    potential.requires_grad_(weights)
    spans: dict[str, list[float]] = {"forward_ms": [], "backward_ms": [], "weights_ms": []}
    for _ in range(repeats + 1):
        pos = arrays["pos"].clone().requires_grad_(forces)
        with kept:
            marks = [time.perf_counter()]
            energy = energies(potential, arrays, pos).sum()
            marks.append(time.perf_counter())
            force = torch.autograd.grad(energy, pos, create_graph=weights)[0] if forces else None
            marks.append(time.perf_counter())
        if weights and force is not None:
            (energy + force.square().sum()).backward()
            potential.zero_grad()
        marks.append(time.perf_counter())
        for values, start, end in zip(spans.values(), marks, marks[1:], strict=False):
            values.append(end - start)
    potential.requires_grad_(True)
    return {name: 1e3 * statistics.median(values[1:]) for name, values in spans.items()} | {"kept_mb": kept.bytes / 1e6}


class Kept(saved_tensors_hooks):
    """Bytes that autograd keeps while it is entered, without the weights."""

    def __init__(self, module: nn.Module) -> None:
        self.weights = {parameter.data_ptr() for parameter in module.parameters()}
        self.storages: dict[int, int] = {}
        self.bytes = 0
        super().__init__(self.pack, lambda tensor: tensor)

    def pack(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self.weights:
            self.storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    def __enter__(self) -> None:
        self.storages = {}
        super().__enter__()

    def __exit__(self, *error: Any) -> None:
        self.bytes = sum(self.storages.values())
        super().__exit__(*error)


def fresh(argument: Any) -> Any:
    """A copy that can be differentiated by."""
    if isinstance(argument, (list, tuple)):
        return [fresh(item) for item in argument]
    if isinstance(argument, Tensor) and argument.is_floating_point():
        return argument.detach().clone().requires_grad_()
    return argument


def wants_gradient(argument: Any) -> bool:
    return isinstance(argument, Tensor) and argument.requires_grad


if __name__ == "__main__":
    main()
