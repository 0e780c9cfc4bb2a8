"""A potential as one file that runs without this package, from Python or C++."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from pyg_mpnn.deploy.announce import announce
from pyg_mpnn.deploy.generate import build, expected_seconds, first_line
from pyg_mpnn.deploy.own_process import Packed, in_own_process
from pyg_mpnn.deploy.proof import TESTED_TORCH, TOLERANCE
from pyg_mpnn.deploy.support import CompilationError
from pyg_mpnn.deploy.tracing import (
    UNTRACEABLE,
    Inputs,
    Kind,
    Outputs,
    eager_function,
    example_tensors,
    name_inputs,
    trace,
    unflatten,
)
from pyg_mpnn.deploy.trials import generated
from pyg_mpnn.files import replace_whole

SIZES = (9, 40, 200)
"""Atoms of the structures that a package is compared on."""


def export_package(
    module: nn.Module,
    reference: Tensor,
    num_near: int,
    dtype: torch.dtype,
    path: Path,
    numbers: Mapping[str, float],
) -> None:
    r"""Compile energy, forces and stress of one structure to an AOTInductor package, weights included.

    The package is a function of ``z``, ``pos``, ``edge_index``, ``shifts`` and ``cell`` (and an index list of edges for
    each smaller scale), with free numbers of atoms and edges, at least 2 of each. It takes and gives float64, whatever
    the dtype of the module: who calls it need not know, and torch does not check it unless asked. Before it is put in
    its place it is compared with eager evaluation on three generated crystals. It is made and first run in a process of
    its own, which it may end.

    Args:
        module: as for ``pyg_mpnn.deploy.tracing.trace``, in evaluation mode.
        reference: reference energies by atomic number, float64.
        num_near: number of index lists that it takes.
        dtype: that of the module.
        path: file to write; an existing one is replaced only by a complete one.
        numbers: what the module reads of a structure besides, such as its charge: constants of the package.

    Raises:
        CompilationError: another precision, or the package could not be made, ends its process, or does not compute
            what eager evaluation does; nothing is written.
    """
    if dtype not in TOLERANCE:
        raise CompilationError(f"a package computes in float32 or float64, got {dtype}: nothing was written")
    kind = Kind(trained=False, stress=True, periodic=True, scales=1 + num_near, inputs=tuple(numbers))
    try:
        traced = trace(module, kind, dtype, reference.device)
    except Exception as error:
        raise CompilationError(f"the package was not written: {UNTRACEABLE}: {first_line(error)}") from error
    tensors, random = example_tensors(module, traced, kind), torch.Generator().manual_seed(0)
    structures = []
    for size in SIZES:
        crystal = generated(module, kind, (size,), random)
        crystal = crystal._replace(numbers=_of_atoms(numbers.values(), crystal.pos))
        structures.append([part.to(reference.device) for part in crystal.flat()])
    seconds = 1.3 * expected_seconds(traced, "inference")
    with replace_whole(path) as package:
        values = tuple(numbers.values())
        task = (Packed.of(traced.graph), traced.names, tensors, reference, kind, values, structures, package)
        with announce(f"Compiling {path.name} and comparing it with eager results in a process of its own", seconds):
            found, reason = in_own_process(_make_and_evaluate, task, package.parent, seconds)
        if found is None:
            raise CompilationError(
                f"the package was not written: {reason}, with torch {torch.__version__} on {reference.device}; "
                f"this package is tested with torch {', '.join(TESTED_TORCH)} on a CPU"
            )
        evaluate = eager_function(module, traced.names, kind, dtype)
        for results, structure in zip(found, structures, strict=True):
            wanted = unflatten(kind, evaluate([*tensors[: len(traced.names)], *structure]))
            _compare(results, wanted, structure, reference, dtype)


def _make_and_evaluate(
    graph: Packed,
    names: tuple[str, ...],
    tensors: list[Tensor],
    reference: Tensor,
    kind: Kind,
    numbers: tuple[float, ...],
    structures: list[list[Tensor]],
    path: Path,
) -> list[tuple[Tensor, ...]]:
    """Write a package and evaluate structures with it: what a process of its own does."""
    exported = _OneStructure(graph.unpack(), names, tensors, reference, kind, numbers)
    z, pos, _, edge_index, shifts, cell, near, _ = exported.example
    assert cell is not None
    free = torch.export.Dim.DYNAMIC
    shapes = ({0: free}, {0: free}, {1: free}, {0: free}, None, tuple({0: free} for _ in near))
    build(exported, (z, pos, edge_index, shifts, cell[0], near), shapes, path)
    run, found = torch._inductor.aoti_load_package(str(path)), []
    for z, pos, _, edge_index, shifts, cell, near, _ in (name_inputs(kind, tensors) for tensors in structures):
        assert cell is not None
        found.append(tuple(run(z, pos, edge_index, shifts, cell[0], near)))
    return found


def _compare(
    found: tuple[Tensor, ...], wanted: Outputs, structure: list[Tensor], reference: Tensor, dtype: torch.dtype
) -> None:
    """Refuse a package that does not compute what eager evaluation does, of one structure."""
    z, cell = structure[0], structure[5]
    energy, forces, stress, atom_energies = found
    assert wanted.virial is not None
    whole = wanted.energies.detach().double() + reference[z]
    rounding = float(1e-12 * whole.abs().sum())  # of energies that are large beside those of the interaction
    compared = {
        "energy": (energy, whole.sum(), wanted.energies.double().abs().sum(), rounding),
        "atom energies": (atom_energies, whole, wanted.energies, rounding),
        "forces": (forces, wanted.forces.double(), wanted.forces, 0.0),
        "stress": (stress, -wanted.virial[0].double() / torch.linalg.det(cell[0]).abs(), None, 0.0),
    }
    for name, (value, right, scale, floor) in compared.items():
        allowed = TOLERANCE[dtype] * float((right if scale is None else scale).detach().abs().max()) + floor
        worst = float((value - right).detach().abs().max()) if value.shape == right.shape else float("inf")
        if not worst <= allowed:  # nor where it is no number
            raise CompilationError(
                f"the package was not written, for it does not compute what eager evaluation does: {name} of "
                f"{len(z)} generated atoms by {worst:.1e} (allowed {allowed:.1e}), with torch {torch.__version__} on "
                f"{reference.device}"
            )


def _of_atoms(numbers: Iterable[float], pos: Tensor) -> tuple[Tensor, ...]:
    return tuple(torch.full_like(pos[:, 0], number) for number in numbers)


class _OneStructure(nn.Module):
    """A traced graph with its weights, for one structure."""

    reference: Tensor

    def __init__(
        self,
        graph: GraphModule,
        names: tuple[str, ...],
        tensors: list[Tensor],
        reference: Tensor,
        kind: Kind,
        numbers: tuple[float, ...],
    ) -> None:
        super().__init__()
        self.held = (graph,)  # not a part: export would lose its constants
        self.kind, self.numbers = kind, numbers
        self.names = [name.replace(".", "_") for name in names]
        for name, tensor in zip(self.names, tensors, strict=False):
            self.register_buffer(name, tensor.detach().clone())
        self.register_buffer("reference", reference.clone())
        self.example = name_inputs(kind, tensors[len(self.names) :])

    def forward(
        self, z: Tensor, pos: Tensor, edge_index: Tensor, shifts: Tensor, cell: Tensor, near: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        # the graph wants at least two structures: a second one that no atom is in
        numbers = _of_atoms(self.numbers, pos)
        inputs = Inputs(z, pos, torch.zeros_like(z), edge_index, shifts, torch.stack([cell, cell]), near, numbers)
        (graph,) = self.held
        results = graph(*(getattr(self, name) for name in self.names), *inputs.flat())
        outputs = unflatten(self.kind, results)
        assert outputs.virial is not None
        atom_energies = outputs.energies.double() + self.reference[z]
        stress = -outputs.virial[0].double() / torch.linalg.det(cell).abs()
        return atom_energies.sum(), outputs.forces.double(), stress, atom_energies
