"""A potential as one file that runs without this package, from Python or C++."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from pyg_mpnn.deploy.announce import announce
from pyg_mpnn.deploy.generate import build, expected_seconds
from pyg_mpnn.deploy.proof import TESTED_TORCH, may_end_the_process
from pyg_mpnn.deploy.support import CompilationError
from pyg_mpnn.deploy.tracing import Inputs, Kind, Traced, example_tensors, trace, unflatten


def export_package(module: nn.Module, reference: Tensor, scales: int, path: Path) -> None:
    r"""Compile energy, forces and stress of one structure to an AOTInductor package, weights included.

    The package is a function of ``z``, ``pos``, ``edge_index``, ``shifts`` and ``cell`` (and an index list of edges for
    each smaller scale), with free numbers of atoms and edges, at least 2 of each. It takes and gives float64, whatever
    the dtype of the module: who calls it need not know, and torch does not check it unless asked.

    Args:
        module: as for ``pyg_mpnn.deploy.tracing.trace``, in evaluation mode.
        reference: reference energies by atomic number, float64.
        scales: number of cutoffs.
        path: file to write; an existing one is replaced only by a complete one.

    Raises:
        CompilationError: it is on a GPU, or this release of torch is not one that packages are tested with.
    """
    if may_end_the_process(reference.device):
        raise CompilationError(
            f"a package is written on a CPU with torch {' or '.join(TESTED_TORCH)}, where packages are tested, got "
            f"{reference.device} and torch {torch.__version__}: move the potential, or install that torch"
        )
    floating = next(parameter for parameter in module.parameters() if parameter.is_floating_point())
    kind = Kind(trained=False, stress=True, periodic=True, scales=scales)
    traced = trace(module, kind, floating.dtype, floating.device)
    exported = _OneStructure(traced, example_tensors(module, traced, kind), reference, kind)
    z, pos, _, edge_index, shifts, cell, near = exported.example
    assert cell is not None
    free = torch.export.Dim.DYNAMIC
    shapes = ({0: free}, {0: free}, {1: free}, {0: free}, None, tuple({0: free} for _ in near))
    arguments = (z, pos, edge_index, shifts, cell[0], near)
    with announce(f"Compiling {path.name}", 1.3 * expected_seconds(traced, "inference")):
        build(exported, arguments, shapes, path)


class _OneStructure(nn.Module):
    """A traced graph with its weights, for one structure."""

    reference: Tensor

    def __init__(self, traced: Traced, tensors: list[Tensor], reference: Tensor, kind: Kind) -> None:
        super().__init__()
        self.held = (traced.graph,)  # not a part: export would lose its constants
        self.kind = kind
        self.names = [name.replace(".", "_") for name in traced.names]
        for name, tensor in zip(self.names, tensors, strict=False):
            self.register_buffer(name, tensor.detach().clone())
        self.register_buffer("reference", reference.clone())
        z, pos, batch, edge_index, shifts, cell, *near = tensors[len(self.names) :]
        self.example = Inputs(z, pos, batch, edge_index, shifts, cell, tuple(near))

    def forward(
        self, z: Tensor, pos: Tensor, edge_index: Tensor, shifts: Tensor, cell: Tensor, near: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        # the graph wants at least two structures: a second one that no atom is in
        inputs = Inputs(z, pos, torch.zeros_like(z), edge_index, shifts, torch.stack([cell, cell]), near)
        (graph,) = self.held
        results = graph(*(getattr(self, name) for name in self.names), *inputs.flat())
        outputs = unflatten(self.kind, results)
        assert outputs.virial is not None
        atom_energies = outputs.energies.double() + self.reference[z]
        stress = -outputs.virial[0].double() / torch.linalg.det(cell).abs()
        return atom_energies.sum(), outputs.forces.double(), stress, atom_energies
