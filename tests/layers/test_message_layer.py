"""The part that all layers share, on the shortest layer of one's own: no edge enters, only what is made of sums."""

from __future__ import annotations

import torch
from torch import nn

from pyg_mpnn import DensityPowers, EdgeMLP, Messages, NodeUpdate, RadialFeatures
from pyg_mpnn.layers import MessageLayer


def messages():
    return Messages(RadialFeatures(3, out_channels=5), EdgeMLP(4, 5, 4, 6), num_radial=3)


def build(*parts, scales=1):
    given = messages() if scales == 1 else nn.ModuleList(messages() for _ in range(scales))
    return MessageLayer(given, NodeUpdate(4, message_channels=6, power_channels=9 if parts else 0), None, *parts)


def test_new_features_come_from_the_sums():
    layer = build(DensityPowers(2, 2, out_channels=3))
    x, density, total, change = torch.randn(5, 4), torch.randn(5, 9, 2), torch.randn(5, 6), torch.randn(5, 9, 2)
    new_x, new_density = layer.advance(x, density, total, change)
    torch.testing.assert_close(new_density, density + change)
    torch.testing.assert_close(new_x, layer.node_update.update(total, x, layer.powers(density + change)))
    assert (layer.advance(x, density, total, None)[0] - new_x).abs().max() > 1e-3
    assert layer.advance(x, density, total, None)[1] is density


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
