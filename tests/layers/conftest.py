"""Inputs of the blocks, made from structures by hand, and the laws that every block obeys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import MessagePassing

from pyg_mpnn import testing
from pyg_mpnn.basis import BesselBasis, DirectionalBasis, PolynomialCutoff

RADIUS = 2.6  # A: every atom of the test molecules has some, and most have not all of the others


class Inputs(NamedTuple):
    """What blocks read. Sizes: 4 node channels, 3 radial functions, l_max 2 (9 components), 2 density channels."""

    x: Tensor
    edge_index: Tensor
    radial: Tensor
    envelope: Tensor
    sphere: Tensor
    density: Tensor
    dist: Tensor


Call = Callable[[nn.Module, Inputs], Tensor]


@pytest.fixture
def inputs() -> Callable[..., Inputs]:
    """The function that makes the inputs of a structure or a batch."""
    return make_inputs


def make_inputs(data: Data, radius: float = RADIUS) -> Inputs:
    """All pairs of one molecule within the radius, sorted by receiver, and closed formulas on them."""
    batch = torch.zeros_like(data.z) if data.batch is None else data.batch
    vec = data.pos.unsqueeze(0) - data.pos.unsqueeze(1)  # [i, j] = pos_j - pos_i
    if "edge_index" in data:
        source, target = data.edge_index
    else:
        same = (batch.unsqueeze(0) == batch.unsqueeze(1)) & ~torch.eye(len(batch), dtype=torch.bool)
        target, source = (same & (vec.detach().square().sum(dim=-1) < radius**2)).nonzero().T
    vec = vec[target, source]
    dist = vec.norm(dim=-1)
    radial, envelope, sphere = BesselBasis(radius, 3)(dist), PolynomialCutoff(radius)(dist), DirectionalBasis(2)(vec)
    x = torch.sin(data.z.unsqueeze(-1) * torch.arange(1, 5)).to(data.pos)
    weight = envelope.unsqueeze(-1) * radial[:, :2] * x[source, :2]
    density = data.pos.new_zeros(len(batch), 9, 2)
    density = density.index_add(0, target, sphere.unsqueeze(-1) * weight.unsqueeze(1))
    return Inputs(x, torch.stack([source, target]), radial, envelope, sphere, density, dist)


@pytest.fixture
def laws(chiral: Data, ethanol: Data, water: Data, dtype: torch.dtype) -> Callable[..., None]:
    """Hold a block to the laws: ``laws(build, call, "nodes", degrees, runs="propagate")``."""
    atom = Data(z=torch.tensor([8]), pos=torch.zeros(1, 3))
    nothing = Data(z=torch.zeros(0, dtype=torch.long), pos=torch.zeros(0, 3), num_nodes=0)

    def check(
        build: Callable[[], nn.Module],
        call: Call,
        axis: Literal["nodes", "edges"],
        degrees: Tensor | None = None,
        *,
        runs: Literal["propagate", "edge_updater"] | None = None,
        leaves_smoothly: bool = False,
    ) -> None:
        module = build()

        def function(data: Data) -> Tensor:
            return call(module, make_inputs(data))

        with_edges = chiral.clone()
        with_edges.edge_index = make_inputs(chiral).edge_index
        testing.assert_permutation_law(function, with_edges, axis)
        testing.assert_translation_law(function, chiral)
        testing.assert_rotation_law(function, chiral, degrees)
        testing.assert_inversion_law(function, chiral, degrees)
        testing.assert_batch_law(function, [ethanol, atom, water, nothing], axis)
        if axis == "nodes":
            testing.assert_far_parts_law(function, ethanol, water, "nodes")
        if leaves_smoothly:
            testing.assert_cutoff_law(approach(function, water), RADIUS)
        testing.assert_copies_law(build_with_seed(build), lambda copied: call(copied, make_inputs(water)))
        if list(module.parameters()):
            testing.assert_reset_law(module)
        check_dtype(build(), call, water)
        if dtype == torch.float64:
            check_gradients(build(), call, water)
        if runs is not None:
            check_message_passing(module, lambda: function(water), runs)
        assert repr(module).startswith(f"{type(module).__name__}(")

    return check


def approach(function: Callable[[Data], Tensor], water: Data) -> Callable[[Tensor], Tensor]:
    """Result on water and a hydrogen atom on its axis, in three random mixtures, by their distance."""

    def at(dist: Tensor) -> Tensor:
        probe = water.pos[:1] + dist * torch.tensor([[0.0, 0.0, 1.0]])
        result = function(Data(z=torch.cat([water.z, water.z[1:2]]), pos=torch.cat([water.pos, probe])))
        generator = torch.Generator().manual_seed(0)
        return torch.randn(3, result.numel(), generator=generator) @ result.flatten()

    return at


def build_with_seed(build: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    """Different weights in every module, so that a copy that keeps its own is seen."""
    seeds = iter(range(100))

    def seeded() -> nn.Module:
        torch.manual_seed(next(seeds))
        return build()

    return seeded


def check_dtype(module: nn.Module, call: Call, data: Data) -> None:
    """Results have the dtype of the inputs, and ``.to(dtype)`` changes nothing else."""
    own = call(module, make_inputs(data))
    assert own.dtype == data.pos.dtype
    for dtype in (torch.float64, torch.float32):
        converted = data.clone()
        converted.pos = data.pos.to(dtype)
        result = call(module.to(dtype), make_inputs(converted))
        assert result.dtype == dtype
        testing.require("dtype law", result, own, tolerance=1e-4)


def check_gradients(module: nn.Module, call: Call, data: Data) -> None:
    """First and second derivatives by the positions and by the smallest parameter, the mixed ones too."""
    z, edge_index = data.z, make_inputs(data).edge_index
    parameters = sorted(module.named_parameters(), key=lambda item: item[1].numel())[:1]

    def function(pos: Tensor, *values: Tensor) -> Tensor:
        changed = {name: value for (name, _), value in zip(parameters, values, strict=True)}

        def changed_module(*arguments: Tensor) -> Tensor:
            return torch.func.functional_call(module, changed, arguments)

        return call(changed_module, make_inputs(Data(z=z, pos=pos, edge_index=edge_index)))

    testing.assert_gradients(function, [data.pos.double(), *(value for _, value in parameters)], fast=True)


def check_message_passing(module: nn.Module, run: Callable[[], Tensor], runs: str) -> None:
    """The block is PyG's ``MessagePassing``, the method runs, and it is the one that PyG generates."""
    assert isinstance(module, MessagePassing)
    calls = []
    if runs == "propagate":
        handle = module.register_propagate_forward_hook(lambda *arguments: calls.append(arguments))
    else:
        handle = module.register_edge_update_forward_hook(lambda *arguments: calls.append(arguments))
    run()
    handle.remove()
    assert calls
    assert getattr(module, runs).__module__.startswith(f"{type(module).__module__}_{type(module).__name__}_{runs}")
