"""The part that all layers share."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pyg_mpnn import DensityPowers, DensityUpdate, EdgeMLP, Messages, NodeUpdate, RadialFeatures
from pyg_mpnn.layers import MessageLayer


def messages():
    return Messages(RadialFeatures(3, out_channels=5), EdgeMLP(4, 5, 4, 6), num_radial=3)


def build(*parts, scales=1):
    given = messages() if scales == 1 else nn.ModuleList(messages() for _ in range(scales))
    return MessageLayer(given, NodeUpdate(4, message_channels=6, power_channels=9 if parts else 0), None, *parts)


def test_density_changes_then_powers_then_nodes():
    layer = MessageLayer(
        nn.ModuleList([messages(), messages()]),
        NodeUpdate(4, 6, power_channels=9),
        DensityUpdate(4, 6, channels=2, l_max=2),
        DensityPowers(2, 2, out_channels=3),
    )
    x, density, radial, sphere = torch.randn(5, 4), torch.randn(5, 9, 2), torch.randn(4, 3), torch.randn(4, 9)
    edge_index, envelope = torch.tensor([[1, 2, 0, 3], [0, 0, 1, 4]]), torch.rand(4)
    edges = edge_index, radial, envelope, sphere
    found, new_density = layer.advance(x, *([tensor] * 2 for tensor in edges), density)
    message = [scale(x, *edges, density) for scale in layer.scales]
    carried = density + sum(layer.density_update(x, edge_index, part, sphere, density) for part in message)
    torch.testing.assert_close(new_density, carried)
    torch.testing.assert_close(found, layer.node_update(x, edge_index, sum(message), layer.powers(carried)))


@pytest.mark.usefixtures("unchecked")
def test_density_comes_as_the_features_do():
    layer, edge_index = build(), torch.tensor([[1], [0]])
    edges = [edge_index], [torch.randn(1, 3)], [torch.rand(1)], [None]
    x, density = torch.randn(2, 4), torch.randn(2, 9, 2)
    assert layer.advance((x, x[:1]), *edges, (density, density[:1]))[1].shape == (1, 9, 2)
    with pytest.raises(ValueError, match=r"'density' must be a pair \(senders, receivers\) where 'x' is one"):
        layer.advance((x, x[:1]), *edges, density)


def test_scales_are_reset_and_shown():
    for scales in (1, 2):
        layer = build(scales=scales)
        assert len(layer.scales) == scales
        assert repr(layer).count("Messages(") == scales
        before = [scale.filter.weight.clone() for scale in layer.scales]
        layer.reset_parameters()
        for old, scale in zip(before, layer.scales, strict=True):
            assert not torch.equal(old, scale.filter.weight)


def test_symmetry_is_that_of_the_parts():
    assert build(scales=2).symmetry("invariant", "invariant", "equivariant", "equivariant") == (
        "invariant",
        "equivariant",
    )
    assert build().symmetry("unconstrained", "invariant", "equivariant", "equivariant")[0] == "unconstrained"
