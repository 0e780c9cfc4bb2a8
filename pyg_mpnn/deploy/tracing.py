"""Energies, forces and virial of a module traced into one graph of plain operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.graph import CodeGen

from pyg_mpnn.deploy.passes import copy_narrow_weights, drop_detach, split_bias, turn_narrow_products
from pyg_mpnn.deploy.support import tracing
from pyg_mpnn.geometry import apply_strain, edge_vectors
from pyg_mpnn.readout import energy_gradients

UNTRACEABLE = (
    "a part of it cannot be traced (blocks of your own must not branch on values of tensors, nor use other tensors "
    "than weights, buffers and inputs)"
)


class Kind(NamedTuple):
    """What a graph computes; each kind is traced and compiled on its own."""

    trained: bool  # whether the results are differentiated again, with respect to the weights
    stress: bool  # whether the virial is wanted
    periodic: bool  # whether there are cells and shifts
    scales: int  # number of cutoffs
    inputs: tuple[str, ...] = ()  # numbers of graphs that are read, such as a charge


class Inputs(NamedTuple):
    """Tensors that differ from call to call: contiguous, whole numbers in int64, places in float64."""

    z: Tensor  # (nodes,)
    pos: Tensor  # (nodes, 3)
    batch: Tensor  # (nodes,)
    edge_index: Tensor  # (2, edges)
    shifts: Tensor | None  # (edges, 3)
    cell: Tensor | None  # (graphs, 3, 3)
    near: tuple[Tensor, ...]  # indices of the edges of each smaller scale
    numbers: tuple[Tensor, ...] = ()  # of the graph of each atom, one for each name in Kind.inputs, (nodes,)

    def flat(self) -> list[Tensor]:
        """The tensors that are there, in order."""
        return [tensor for tensor in (*self[:-2], *self.near, *self.numbers) if tensor is not None]


class Outputs(NamedTuple):
    """What a graph gives back."""

    energies: Tensor  # interaction energy of each atom, (nodes,)
    forces: Tensor  # (nodes, 3)
    virial: Tensor | None  # (graphs, 3, 3)
    coincide: Tensor  # whether two neighbours are at one place, ()


class Traced(NamedTuple):
    """A graph of tensors: weights and buffers by name, then those of :class:`Inputs`; it returns a list."""

    graph: GraphModule
    names: tuple[str, ...]
    dynamic: tuple[int | None, ...]  # for each tensor, the axis of free length


def trace(module: nn.Module, kind: Kind, dtype: torch.dtype, device: torch.device) -> Traced:
    r"""Trace energies and their derivatives, with free numbers of atoms, edges and graphs.

    .. math:: (w, \mathrm{inputs}) \mapsto E_i, \; F = -\partial E / \partial \mathrm{pos}, \;
              -\partial E / \partial \varepsilon

    as a function of weights and buffers w too: what changes in the module afterwards is seen. The example that is
    traced is made here; no size in it means anything.

    Args:
        module: has ``interaction_energies(z, edge_index, edge_vec, batch, num_graphs, near)``, and there ``inputs``
            where it has ``graph_inputs``, written without branches on values of tensors, and without ``num_graphs`` in
            a shape.
        kind: what to compute.
        dtype: dtype of the network, which gets the differences of positions in it.
        device: device of the module.

    Returns:
        the graph, with the names of the state that it reads.

    Raises:
        Exception: what torch raises where a part of the module cannot be traced.
    """
    state = {name: tensor.detach() for name, tensor in _InteractionEnergies(module).state_dict(keep_vars=True).items()}
    example, evaluate = _example(kind, device), eager_function(module, tuple(state), kind, dtype)
    tensors = [tensor.requires_grad_(kind.trained and tensor.is_floating_point()) for tensor in state.values()]
    with tracing():
        graph = make_fx(evaluate, tracing_mode="symbolic", _allow_non_fake_inputs=True)([*tensors, *example.flat()])
    graph.graph.set_codegen(CodeGen())  # plain arguments, as many as are used
    _register_constants(graph)
    used = _drop_unused_state(graph, len(state))
    for rewrite in (drop_detach, split_bias, turn_narrow_products):
        rewrite(graph)
    if kind.trained:
        copy_narrow_weights(graph)
    axes = [None] * len(used) + [1 if tensor is example.edge_index else 0 for tensor in example.flat()]
    return Traced(graph, tuple(name for k, name in enumerate(state) if k in used), tuple(axes))


def eager_function(
    module: nn.Module, names: tuple[str, ...], kind: Kind, dtype: torch.dtype
) -> Callable[[list[Tensor]], list[Tensor]]:
    """What is traced: the results of a module by eager evaluation, as a function of the tensors of a graph.

    Args:
        module: as for :func:`trace`.
        names: the state that comes first among the tensors.
        kind: what to compute.
        dtype: dtype of the network.

    Returns:
        a function that gives the tensors of :class:`Outputs`.
    """
    energies_of = _InteractionEnergies(module)

    def evaluate(tensors: list[Tensor]) -> list[Tensor]:
        weights = dict(zip(names, tensors[: len(names)], strict=True))
        with torch.enable_grad():
            outputs = _evaluate(energies_of, weights, name_inputs(kind, tensors[len(names) :]), kind, dtype)
        return [tensor for tensor in outputs if tensor is not None]

    return evaluate


def example_tensors(module: nn.Module, traced: Traced, kind: Kind) -> list[Tensor]:
    """The list of tensors that a traced graph was made with, weights as in the module."""
    state = _InteractionEnergies(module).state_dict(keep_vars=True)
    device = next(iter(state.values())).device
    return [*(state[name] for name in traced.names), *_example(kind, device).flat()]


def unflatten(kind: Kind, tensors: list[Tensor]) -> Outputs:
    """The results of a graph by name."""
    return Outputs(tensors[0], tensors[1], tensors[2] if kind.stress else None, tensors[-1])


class _InteractionEnergies(nn.Module):
    """The part of a module that is traced, as a module whose weights can be replaced."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(
        self, z: Tensor, edge_index: Tensor, edge_vec: Tensor, batch: Tensor, near: Any, inputs: dict[str, Tensor]
    ) -> Tensor:
        options = {"inputs": inputs} if inputs else {}
        energies: Tensor = self.module.interaction_energies(z, edge_index, edge_vec, batch, 0, near, **options)  # type: ignore[operator]
        return energies


def _evaluate(module: nn.Module, weights: dict[str, Tensor], inputs: Inputs, kind: Kind, dtype: torch.dtype) -> Outputs:
    pos, cell = inputs.pos.detach().requires_grad_(), inputs.cell
    strained, strain = pos, None
    if kind.stress:
        assert cell is not None
        strain = pos.new_zeros(cell.shape[0], 3, 3).requires_grad_()
        strained, cell = apply_strain(pos, cell, strain, inputs.batch)
    edge_vec = edge_vectors(strained, inputs.edge_index, inputs.shifts, cell, inputs.batch).to(dtype)
    numbers = dict(zip(kind.inputs, inputs.numbers, strict=True))
    arguments = (inputs.z, inputs.edge_index, edge_vec, inputs.batch, inputs.near or None, numbers)
    energies = functional_call(module, weights, arguments)
    forces, virial = energy_gradients(energies, pos, strain, create_graph=kind.trained)
    virial = None if virial is None else virial.to(dtype)
    return Outputs(energies, forces.to(dtype), virial, (edge_vec == 0).all(dim=1).any())


def name_inputs(kind: Kind, tensors: list[Tensor]) -> Inputs:
    """The tensors of :meth:`Inputs.flat` by name."""
    z, pos, batch, edge_index, *rest = tensors
    shifts, cell = (rest.pop(0), rest.pop(0)) if kind.periodic else (None, None)
    scales = kind.scales - 1
    return Inputs(z, pos, batch, edge_index, shifts, cell, tuple(rest[:scales]), tuple(rest[scales:]))


def _example(kind: Kind, device: torch.device) -> Inputs:
    """Three chains of atoms; all axes of free length differ."""
    length, count = 7, 3
    nodes = torch.arange(count * length)
    batch = nodes // length
    pairs = nodes[:-1][batch[:-1] == batch[1:]]
    edge_index = torch.cat([torch.stack([pairs, pairs + 1]), torch.stack([pairs + 1, pairs])], dim=1)
    pos = torch.stack([nodes * 1.1, (nodes * 1.3).sin(), (nodes * 0.7).cos()], dim=1).double()
    shifts = torch.zeros(edge_index.shape[1], 3, dtype=torch.long) if kind.periodic else None
    cell = (30.0 * torch.eye(3, dtype=torch.float64)).repeat(count, 1, 1) if kind.periodic else None
    near = tuple(torch.arange(11 + 6 * scale) for scale in range(kind.scales - 1))
    numbers = tuple((batch % 2).double() for _ in kind.inputs)
    inputs = Inputs(torch.ones_like(nodes), pos, batch, edge_index, shifts, cell, near, numbers)
    return Inputs(*(_to(part, device) for part in inputs))


def _to(part: Any, device: torch.device) -> Any:
    if isinstance(part, tuple):
        return tuple(tensor.to(device) for tensor in part)
    return None if part is None else part.to(device)


def _drop_unused_state(graph: GraphModule, size: int) -> set[int]:
    """Remove inputs of the state that nothing reads; the places of those that stay."""
    places = [node for node in graph.graph.nodes if node.op == "placeholder"][:size]
    used = set()
    for place, node in enumerate(places):
        if node.users:
            used.add(place)
        else:
            graph.graph.erase_node(node)
    return used


def _register_constants(graph: GraphModule) -> None:
    """Turn tensors that the trace met and kept as attributes into buffers, which packages hold."""
    for name in sorted({str(node.target) for node in graph.graph.nodes if node.op == "get_attr"}):
        tensor = getattr(graph, name)
        delattr(graph, name)
        graph.register_buffer(name, tensor)
