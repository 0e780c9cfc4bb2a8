"""EdgeMLP: the laws, and the split first layer equals the plain one."""

from __future__ import annotations

import pytest
import torch

from pyg_mpnn import EdgeMLP


def build():
    return EdgeMLP(4, edge_dim=3, hidden_channels=6, out_channels=5)


def call(module, inputs):
    return module(inputs.x, inputs.edge_index, inputs.radial)


def test_laws(laws):
    laws(build, call, "edges", runs="edge_updater")


def test_equals_the_network_on_concatenated_features(ethanol, inputs):
    """Anchor: MLP(h_i, h_j, RY_ij) written out, with receiver i = edge_index[1]."""
    layer, given = build(), inputs(ethanol)
    source, target = given.edge_index
    weight = torch.cat([layer.receiver.weight, layer.sender.weight, layer.edge.weight], dim=1)
    inner = torch.cat([given.x[target], given.x[source], given.radial], dim=-1) @ weight.T + layer.edge.bias
    expected = layer.mlp(torch.nn.functional.silu(inner))
    torch.testing.assert_close(call(layer, given), expected)


def test_control_receiver_and_sender_differ(water, inputs):
    layer, given = build(), inputs(water)
    swapped = layer(given.x, given.edge_index.flip(0), given.radial)
    assert (swapped - call(layer, given)).abs().max() > 1e-3


def test_symmetry():
    assert build().symmetry("invariant", "invariant") == "invariant"
    assert build().symmetry("invariant", "unconstrained") == "unconstrained"


def test_repr_names_the_sizes():
    assert repr(build()) == "EdgeMLP(4, 3, 6, 5)"


def test_widths_must_be_positive():
    with pytest.raises(ValueError, match="'edge_dim' must be at least 1, got 0"):
        EdgeMLP(4, 0, 6, 5)
