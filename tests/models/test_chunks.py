"""Chunks of edges give what all edges at once give, with first and second derivatives, and need less memory."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch_geometric.data import Batch, Data

from pyg_mpnn import Potential, RadiusGraph
from pyg_mpnn.models import chunks

SMALL = {"hidden_channels": 8, "edge_dim": 4, "channels": 2, "num_layers": 2, "num_radial": 4, "l_max": 1}
OPTIONS = {
    "contracted": {"cutoff": 5.0},
    "softmax": {"cutoff": 5.0, "attention": "softmax"},
    "two scales, product": {"cutoff": (3.0, 5.0), "attention": "softmax", "num_products": 1},
    "radial": {"cutoff": 5.0, "directions": "radial"},
}


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(chunks.advance_in_chunks, "__defaults__", (40,))


def build(options):
    potential = Potential.from_size("small", **{**SMALL, **options}).double()
    potential.set_reference({1: -13.6, 6: -1029.0, 8: -2041.0, 14: -7800.0}, 1.0, [20.0] * len(potential.cutoffs))
    return potential


@pytest.fixture
def batch(silicon, ethanol):
    """A crystal, a molecule in a large cell, an atom alone, a structure of nothing."""
    lonely, empty = (
        Data(z=torch.tensor([8]), pos=torch.zeros(1, 3)),
        Data(z=torch.zeros(0).long(), pos=torch.zeros(0, 3)),
    )
    structures = []
    for data in (silicon, ethanol, lonely, empty):
        data.pos = data.pos.double()
        data.cell = data.cell.double() if "cell" in data else 15.0 * torch.eye(3, dtype=torch.float64)[None]
        data.pbc = torch.ones(1, 3, dtype=torch.bool)
        structures.append(data)
    return Batch.from_data_list(structures)


@pytest.mark.parametrize("name", OPTIONS)
def test_results_and_gradients_are_equal(name, batch):
    potential, found = build(OPTIONS[name]).train(), {}
    for memory in ("normal", "low"):
        potential.zero_grad()
        output = potential(batch, stress=True, memory=memory)
        (output.forces.square().sum() + output.energy.sum() + output.stress.square().sum()).backward()
        found[memory] = [*output, *(p.grad for p in potential.parameters() if p.grad is not None)]
    assert output.forces.abs().max() > 1e-3
    for low, normal in zip(found["low"], found["normal"], strict=True):
        torch.testing.assert_close(low, normal, rtol=1e-9, atol=1e-11)


def test_order_of_edges_is_free(batch):
    potential = build(OPTIONS["softmax"]).eval()
    graph = RadiusGraph(5.0)(batch.clone())
    order = torch.randperm(graph.edge_index.shape[1])
    edges = {"edge_index": graph.edge_index[:, order], "shifts": graph.shifts[order]}
    shuffled = potential(batch.z, batch.pos, batch.batch, batch.cell, batch.pbc, **edges, memory="low")
    torch.testing.assert_close(shuffled.forces, potential(batch).forces, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("degrees", [[5, 0, 3, 7, 1], [0, 0], [100], [1] * 9, []])
def test_every_edge_is_in_one_range(degrees):
    ends = torch.tensor(degrees, dtype=torch.long).cumsum(0)
    ranges = chunks._ranges(ends, 4)
    assert [first for first, _ in ranges[1:]] == [last for _, last in ranges[:-1]]
    assert (ranges[0][0], ranges[-1][1]) == (0, len(degrees))
    for first, last in ranges:
        assert last - first == 1 or sum(degrees[first : last - 1]) < 8  # an atom more than fits, at most


def test_little_is_kept_for_the_derivatives(silicon):
    potential, kept = build(OPTIONS["contracted"]).eval(), {}
    for memory in ("normal", "low"):
        sizes = {}

        def keep(tensor, sizes=sizes):
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            potential(silicon, memory=memory)
        kept[memory] = sum(sizes.values())
    assert kept["low"] < 0.6 * kept["normal"]


def test_unknown_memory_and_foreign_representation_are_refused(water, unchecked):
    with pytest.raises(ValueError, match=r"'memory' must be one of .*'low'.* got 'tiny'"):
        build({})(water, memory="tiny")

    class Own(nn.Module):
        cutoff, out_channels, num_layers, symmetry = 4.0, 3, 1, "invariant"

    with pytest.raises(ValueError, match="'memory' must be 'normal' for a representation other than MPNN, got 'low'"):
        Potential(Own())(water, memory="low")
