"""The blocks among PyG's own: Data and Batch, Sequential, SchNet, DataLoader."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GCNConv, SchNet, Sequential, global_add_pool

from pyg_mpnn import (
    CosineCutoff,
    EdgeMLP,
    GaussianBasis,
    Interaction,
    Messages,
    NodeUpdate,
    RadialFeatures,
    RadiusGraph,
    SumReadout,
)
from pyg_mpnn.testing import (
    assert_batch_law,
    assert_copies_law,
    assert_cutoff_law,
    assert_permutation_law,
    assert_rotation_law,
)


def test_in_sequential_beside_pyg_layers(ethanol):
    model = Sequential(
        "x, edge_index, edge_attr, batch",
        [
            (GCNConv(4, 8), "x, edge_index -> x"),
            (EdgeMLP(8, edge_dim=5, hidden_channels=6, out_channels=7), "x, edge_index, edge_attr -> message"),
            (NodeUpdate(8, message_channels=7), "x, edge_index, message -> x"),
            (nn.Linear(8, 1), "x -> x"),
            (SumReadout(), "x, batch -> x"),
        ],
    )
    batch = Batch.from_data_list([RadiusGraph(2.6)(ethanol), RadiusGraph(2.6)(ethanol)])
    vec = batch.pos[batch.edge_index[0]] - batch.pos[batch.edge_index[1]]
    edge_attr = GaussianBasis(2.6, 5)(vec.norm(dim=-1))
    out = model(torch.ones(18, 4), batch.edge_index, edge_attr, batch.batch)
    assert out.shape == (2, 1)
    torch.testing.assert_close(out[0], out[1])
    out.sum().backward()
    assert all(weight.grad is not None for weight in model.parameters())


class Convolution(nn.Module):
    """Our interaction layer with the call of SchNet's convolution."""

    def __init__(self, channels, num_radial, cutoff):
        super().__init__()
        messages = Messages(RadialFeatures(num_radial, 6), EdgeMLP(channels, 6, 6, 6), num_radial)
        self.interaction = Interaction(messages, NodeUpdate(channels, 6))
        self.cutoff = CosineCutoff(cutoff)

    def forward(self, x, edge_index, edge_weight, edge_attr):
        return self.interaction(x, edge_index, edge_attr, self.cutoff(edge_weight))[0]


CUTOFF = 3.0


def schnet():
    """PyG's SchNet with our layer in place of its convolution, on our neighbour list."""

    def interaction_graph(pos, batch):
        from pyg_mpnn import neighbor_list

        edge_index = neighbor_list(pos.detach(), CUTOFF, batch=batch).edge_index
        return edge_index, (pos[edge_index[0]] - pos[edge_index[1]]).norm(dim=-1)

    model = SchNet(
        hidden_channels=8, num_interactions=2, num_gaussians=6, cutoff=CUTOFF, interaction_graph=interaction_graph
    )
    for block in model.interactions:
        block.conv = Convolution(8, 6, CUTOFF)
    return model


def energies(data):
    torch.manual_seed(0)
    return schnet()(data.z, data.pos, data.batch)


def test_in_schnet_in_place_of_its_convolution(ethanol, water, chiral):
    assert_rotation_law(energies, chiral)
    assert_permutation_law(energies, chiral, "graphs")
    assert_batch_law(energies, [ethanol, water], "graphs")


def test_schnet_with_our_layer_is_smooth_at_the_cutoff(water):
    def approach(dist):
        probe = water.pos[:1] + dist * torch.tensor([[0.0, 0.0, 1.0]])
        torch.manual_seed(0)
        return schnet()(torch.cat([water.z, water.z[1:2]]), torch.cat([water.pos, probe]))

    assert_cutoff_law(approach, CUTOFF)


def test_schnet_with_our_layer_trains(ethanol):
    model = schnet()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(30):
        pos = ethanol.pos.clone().requires_grad_()
        energy = model(ethanol.z, pos)
        forces = -torch.autograd.grad(energy.sum(), pos, create_graph=True)[0]
        loss = (energy + 5.0).square().sum() + (forces - 0.1 * ethanol.pos).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]


def test_batches_of_a_dataloader_equal_single_structures(ethanol, water):
    messages = Messages(RadialFeatures(6, 6), EdgeMLP(4, 6, 6, 6), 6)
    layer, basis, cutoff = Interaction(messages, NodeUpdate(4, 6)), GaussianBasis(2.6, 6), CosineCutoff(2.6)

    def total(data, index, graphs):
        dist = (data.pos[data.edge_index[0]] - data.pos[data.edge_index[1]]).norm(dim=-1)
        x = torch.sin(data.z.unsqueeze(-1) * torch.arange(1, 5)).to(data.pos)
        x, _ = layer(x, data.edge_index, basis(dist), cutoff(dist))
        return global_add_pool(x, index, graphs)

    structures = [RadiusGraph(2.6)(data) for data in (ethanol, water, ethanol)]
    (batch,) = DataLoader(structures, batch_size=3)
    single = [total(data, torch.zeros_like(data.z), 1) for data in structures]
    torch.testing.assert_close(total(batch, batch.batch, 3), torch.cat(single))


def test_copies_of_a_composition():
    x, edge_index = torch.ones(2, 8), torch.tensor([[1, 0], [0, 1]])
    assert_copies_law(
        lambda: Convolution(8, 6, CUTOFF), lambda module: module(x, edge_index, torch.ones(2), torch.ones(2, 6))
    )


@pytest.mark.parametrize("steps", [["cpu"], [torch.float64, torch.float32]])
def test_to_device_and_dtype(steps):
    layer = Convolution(8, 6, CUTOFF)
    before = [weight.clone() for weight in layer.parameters()]
    dtype = before[0].dtype
    for step in [*steps, dtype]:
        layer = layer.to(step)
    for weight, old in zip(layer.parameters(), before, strict=True):
        torch.testing.assert_close(weight, old)
