"""Energies and forces traced into one graph and compiled, for training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx
from torch_geometric.data import Batch

from pyg_mpnn.geometry import edge_vectors
from pyg_mpnn.models import Potential, PotentialOutput
from pyg_mpnn.models.structure import read_structure
from pyg_mpnn.readout import energy_gradients
from pyg_mpnn.scatter import scatter_sum

TESTED_TORCH = "2.13"


def compile_training(potential: Potential, example: Batch) -> Callable[[Batch], PotentialOutput]:
    r"""Compile energies and forces of a potential for training, derivatives with respect to its weights included.

    ``torch.compile`` does not differentiate twice through its own backward. So energy and forces, the latter by
    ``torch.autograd.grad``, are traced to one graph of plain operations first, a function of weights and tensors, and
    that graph is compiled with free numbers of atoms, edges and graphs. That takes minutes; calls with other batches do
    not compile again. The function shares the weights of the potential: a step of the optimizer is seen.

    Experimental: one cutoff, molecules or crystals, no stress; a C++ compiler and the tested torch are needed.

    Args:
        potential: potential to compile, its reference energies set, in training mode.
        example: a batch of at least two structures with edges attached, as training will see them; with ``cell`` and
            ``shifts`` if and only if training batches have them.

    Returns:
        a function of a batch with edges that returns what the potential returns for it, without stress.

    Raises:
        RuntimeError: another version of torch than the tested one.
        ValueError: several cutoffs or threads, a potential on a GPU, or an example without edges or with fewer than two
            structures.
    """
    if not torch.__version__.startswith(TESTED_TORCH):
        raise RuntimeError(
            f"compiled training is tested with torch {TESTED_TORCH}, got {torch.__version__}: train without --compile"
        )
    if next(potential.parameters()).device.type != "cpu" or torch.get_num_threads() > 1:
        raise ValueError(
            "compiled training takes one thread of a CPU (generated code of two threads has been seen to fail), got "
            f"{torch.get_num_threads()} threads on {next(potential.parameters()).device}: call torch.set_num_threads(1)"
        )
    if len(potential.cutoffs) > 1:
        raise ValueError(f"compiled training takes one cutoff, got {potential.cutoffs}: train without --compile")
    if example.num_graphs < 2 or example.get("edge_index") is None:
        raise ValueError("'example' must be a batch of at least two structures with edges attached")
    module = _InteractionEnergies(potential)
    names = [name for name, _ in module.named_parameters()]
    parameters = [parameter for _, parameter in module.named_parameters()]

    def evaluate(weights: list[Tensor], tensors: list[Tensor | None]) -> tuple[Tensor, Tensor]:
        z, pos, batch, edge_index, shifts, cell = tensors
        assert z is not None
        assert pos is not None
        assert batch is not None
        assert edge_index is not None
        pos = pos.detach().requires_grad_()
        edge_vec = edge_vectors(pos, edge_index, shifts, cell, batch)
        energies = functional_call(module, dict(zip(names, weights, strict=True)), (z, edge_index, edge_vec, batch))
        forces, _ = energy_gradients(energies, pos, create_graph=True)
        return energies, forces

    with _settings(use_duck_shape=False):
        weights = [parameter.detach().requires_grad_() for parameter in parameters]
        graph = make_fx(evaluate, tracing_mode="symbolic", _allow_non_fake_inputs=True)(
            weights, _tensors(potential, example)
        )
    compiled: Any = torch.compile(_without_detach(graph), dynamic=True)

    def call(batch: Batch) -> PotentialOutput:
        tensors = _tensors(potential, batch)
        z, graph_of_atom = tensors[0], tensors[2]
        assert z is not None
        assert graph_of_atom is not None
        potential.atomwise.check_elements(z)
        with _settings(donated_buffer=False):
            interaction, forces = compiled(parameters, tensors)
        atom_energies = interaction.double() + potential.atomwise.reference[z]
        energy = scatter_sum(interaction.double(), graph_of_atom, batch.num_graphs)
        energy = energy + potential.atomwise.reference_energies(z, graph_of_atom, batch.num_graphs)
        return PotentialOutput(energy, forces, None, atom_energies)

    potential.train()
    call(example).forces.sum().backward()  # type: ignore[union-attr]  # compiles now, not in the first step
    potential.zero_grad()
    return call


def _without_detach(graph: GraphModule) -> GraphModule:
    """Drop the detach that autograd puts around outputs it saves (of sigmoid, exp, a norm ...).

    In the traced graph it would cut second derivatives. A detach in our blocks (the maximum in the softmax) stands
    where the derivative is zero anyway.
    """
    for node in graph.graph.nodes:
        if node.target is torch.ops.aten.detach.default:
            node.replace_all_uses_with(node.args[0])
            graph.graph.erase_node(node)
    graph.recompile()
    return graph


class _InteractionEnergies(nn.Module):
    """The part of a potential that is traced, as a module whose weights can be replaced."""

    def __init__(self, potential: Potential) -> None:
        super().__init__()
        self.potential = potential

    def forward(self, z: Tensor, edge_index: Tensor, edge_vec: Tensor, batch: Tensor) -> Tensor:
        return self.potential.interaction_energies(z, edge_index, edge_vec, batch, num_graphs=0)


def _tensors(potential: Potential, batch: Batch) -> list[Tensor | None]:
    structure = read_structure(batch, None, None, None, None, None, None, dtype=potential.dtype)
    if structure.edge_index is None:
        raise ValueError("'batch' must have its edges attached, got none: use StructureDataset or RadiusGraph")
    cell = structure.cell
    shifts = None if cell is None else structure.shifts
    return [structure.z, structure.pos, structure.batch, structure.edge_index, shifts, cell]


@contextmanager
def _settings(*, use_duck_shape: bool | None = None, donated_buffer: bool | None = None) -> Iterator[None]:
    """Private settings of the tested torch version, changed here alone and set back.

    Sizes that happen to be equal in the example must not be tied together (``use_duck_shape``), and the backward runs
    twice over buffers that torch would otherwise reuse (``donated_buffer``).
    """
    import torch._functorch.config as functorch
    import torch.fx.experimental._config as symbolic

    old = symbolic.use_duck_shape, functorch.donated_buffer
    try:
        if use_duck_shape is not None:
            symbolic.use_duck_shape = use_duck_shape
        if donated_buffer is not None:
            functorch.donated_buffer = donated_buffer
        yield
    finally:
        symbolic.use_duck_shape, functorch.donated_buffer = old
