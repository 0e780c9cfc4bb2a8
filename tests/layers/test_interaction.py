"""Interaction: the laws for node features and density, and the composition written out."""

from __future__ import annotations

import pytest
import torch

from pyg_mpnn import (
    ContractedFeatures,
    DensityPowers,
    DensityUpdate,
    EdgeMLP,
    Interaction,
    Messages,
    NodeUpdate,
    RadialFeatures,
    RawFeatures,
    SoftmaxAttention,
)
from pyg_mpnn.basis import degrees


def build(attention=False):
    """Directions contracted and carried, softmax attention on request."""
    features = ContractedFeatures(3, channels=2, l_max=2, out_channels=5)
    weights = SoftmaxAttention(4, 6, heads=2) if attention else None
    messages = Messages(features, EdgeMLP(4, 5, 4, 6), num_radial=3, attention=weights)
    update = NodeUpdate(4, message_channels=6, power_channels=9, hidden_channels=4)
    return Interaction(messages, update, DensityUpdate(4, 6, channels=2, l_max=2), DensityPowers(2, 2, out_channels=3))


def plain(features=None):
    features = RadialFeatures(3, out_channels=5) if features is None else features
    return Interaction(Messages(features, EdgeMLP(4, 5, 4, 6), num_radial=3), NodeUpdate(4, message_channels=6))


def call(module, inputs):
    return module(inputs.x, inputs.edge_index, inputs.radial, inputs.envelope, inputs.sphere, inputs.density)


def node_features(module, inputs):
    return call(module, inputs)[0]


def density(module, inputs):
    return call(module, inputs)[1]


@pytest.mark.parametrize("attention", [False, True])
def test_laws_of_node_features(laws, attention):
    laws(lambda: build(attention), node_features, "nodes", leaves_smoothly=True)


def test_laws_of_density(laws):
    laws(build, density, "nodes", degrees(2), leaves_smoothly=True)


def test_laws_without_directions(laws):
    def radial_only(module, inputs):
        return module(inputs.x, inputs.edge_index, inputs.radial, inputs.envelope)[0]

    laws(plain, radial_only, "nodes", leaves_smoothly=True)


def test_control_raw_directions_change_under_rotation(laws):
    with pytest.raises(AssertionError, match="rotation law broken"):
        laws(lambda: plain(RawFeatures(3, l_max=2, out_channels=5)), node_features, "nodes")


def test_composition_written_out(ethanol, inputs):
    layer, given = build(), inputs(ethanol)
    message = layer.messages(given.x, given.edge_index, given.radial, given.envelope, given.sphere, given.density)
    carried = given.density + layer.density_update(given.x, given.edge_index, message, given.sphere, given.density)
    expected = layer.node_update(given.x, given.edge_index, message, layer.powers(carried))
    x, new_density = call(layer, given)
    torch.testing.assert_close(x, expected)
    torch.testing.assert_close(new_density, carried)


def test_without_directions_the_density_passes(ethanol, inputs):
    given = inputs(ethanol)
    assert call(plain(), given)[1] is given.density
    assert plain()(given.x, given.edge_index, given.radial, given.envelope)[1] is None


def test_symmetry():
    given = ("invariant", "invariant", "equivariant", "equivariant")
    assert build().symmetry(*given) == ("invariant", "equivariant")
    assert plain().symmetry(*given) == ("invariant", "equivariant")
    assert plain(RawFeatures(3, 2, 5)).symmetry(*given)[0] == "unconstrained"


def test_raw_directions_spoil_a_density_that_is_carried():
    raw = Messages(RawFeatures(3, 2, 5), EdgeMLP(4, 5, 4, 6), num_radial=3)
    layer = Interaction(raw, NodeUpdate(4, 6, power_channels=9), DensityUpdate(4, 6, 2, 2), DensityPowers(2, 2, 3))
    result = layer.symmetry("invariant", "invariant", "equivariant", "equivariant")
    assert result == ("unconstrained", "unconstrained")


def test_repr_names_the_parts():
    for part in ("EdgeMLP(4, 5, 4, 6)", "NodeUpdate(4, 6", "DensityUpdate(4, 6, 2, l_max=2)", "DensityPowers(2"):
        assert part in repr(build())


def test_widths_must_fit():
    messages = Messages(RadialFeatures(3, 5), EdgeMLP(4, 5, 4, 6), num_radial=3)
    with pytest.raises(ValueError, match="'node_update' must take messages of 6 channels, got 5"):
        Interaction(messages, NodeUpdate(4, message_channels=5))
