"""Each law of locality passes for a function that obeys it and catches one that does not."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.utils import scatter

from pyg_mpnn.basis import CosineCutoff, PolynomialCutoff
from pyg_mpnn.testing import assert_batch_law, assert_cutoff_law, assert_far_parts_law

RADIUS = 3.0


def atom_energies(data):
    """A pair potential inside the cutoff."""
    cutoff = PolynomialCutoff(RADIUS)
    batch = torch.zeros_like(data.z) if data.batch is None else data.batch
    dist = (data.pos.unsqueeze(0) - data.pos.unsqueeze(1)).square().sum(dim=-1).add(1e-12).sqrt()
    pairs = (batch.unsqueeze(0) == batch.unsqueeze(1)) & ~torch.eye(len(batch), dtype=torch.bool)
    return (pairs * cutoff(dist.flatten()).view_as(dist)) @ data.z.to(data.pos)


def energies(data):
    batch = torch.zeros_like(data.z) if data.batch is None else data.batch
    return scatter(atom_energies(data), batch, dim_size=getattr(data, "num_graphs", 1), reduce="sum")


@pytest.fixture
def nothing(dtype):
    """A molecule without atoms."""
    return Data(z=torch.zeros(0, dtype=torch.long), pos=torch.zeros(0, 3), num_nodes=0)


def test_batch_law(ethanol, water, nothing, dtype):
    assert_batch_law(energies, [ethanol, nothing, water, nothing], "graphs")
    assert_batch_law(atom_energies, [ethanol, nothing, water], "nodes")


@pytest.mark.parametrize(
    ("broken", "axis"),
    [
        (lambda data: energies(data) / data.num_graphs, "graphs"),  # normalised over the batch
        (lambda data: atom_energies(Data(z=data.z, pos=data.pos)), "nodes"),  # molecules see each other
        (lambda data: scatter(atom_energies(data), data.batch, reduce="sum"), "graphs"),  # last one without atoms lost
    ],
)
def test_batch_law_catches(broken, axis, ethanol, water, nothing):
    with pytest.raises(AssertionError, match="batch law broken"):
        assert_batch_law(broken, [ethanol, water, nothing], axis)


def test_far_parts_law(ethanol, water, dtype):
    assert_far_parts_law(energies, ethanol, water, "graphs")
    assert_far_parts_law(atom_energies, ethanol, water, "nodes")


def test_far_parts_law_catches(ethanol, water):
    with pytest.raises(AssertionError, match="far parts law broken"):
        assert_far_parts_law(lambda data: energies(data) / data.num_nodes, ethanol, water, "graphs")  # mean readout
    with pytest.raises(AssertionError, match="far parts law broken"):
        assert_far_parts_law(lambda data: atom_energies(data).softmax(0), ethanol, water, "nodes")


def test_far_parts_law_is_not_for_edges(water):
    with pytest.raises(ValueError, match="'axis' must be 'graphs' or 'nodes', got 'edges'"):
        assert_far_parts_law(energies, water, water, "edges")


def approach(energy, water):
    """Energy of water and a hydrogen atom on its axis, by the distance between O and that atom."""

    def at(dist):
        probe = water.pos[0] + dist * torch.tensor([0.0, 0.0, 1.0])
        return energy(Data(z=torch.cat([water.z, water.z[1:2]]), pos=torch.cat([water.pos, probe.unsqueeze(0)])))

    return at


def test_cutoff_law(water, dtype):
    assert assert_cutoff_law(approach(energies, water), RADIUS) < 0.02


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda dist: torch.where(dist < RADIUS, 1.0, 0.0) * torch.exp(-dist), "value just inside"),
        (lambda dist: (RADIUS - dist).clamp(min=0.0), "slope just inside"),
        (lambda dist: CosineCutoff(1.3 * RADIUS)(dist), "still acts beyond"),
        (lambda dist: CosineCutoff(0.5 * RADIUS)(dist), "not tested"),
        (lambda dist: CosineCutoff(RADIUS)(dist.detach()), "not tested"),
        (lambda dist: torch.log(CosineCutoff(RADIUS)(dist)), "still acts beyond"),
    ],
)
def test_cutoff_law_catches(function, message):
    with pytest.raises(AssertionError, match=message):
        assert_cutoff_law(lambda dist: function(dist.unsqueeze(0)), RADIUS)
