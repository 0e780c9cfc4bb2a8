from __future__ import annotations

import pytest
import torch
from torch import nn

from pyg_mpnn import (
    BesselBasis,
    ContractedFeatures,
    DensityPowers,
    DensityUpdate,
    DirectionalBasis,
    EdgeMLP,
    Interaction,
    Messages,
    MultiScale,
    NodeUpdate,
    PolynomialCutoff,
    RadialFeatures,
    RawFeatures,
    SigmoidAttention,
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


NEAR, FAR = 1.9, 2.6  # A; the second is the radius of the inputs


def build_multi_scale(attention=SoftmaxAttention):
    messages = [
        Messages(
            ContractedFeatures(3, channels=2, l_max=2, out_channels=5),
            EdgeMLP(4, 5, 4, 6),
            num_radial=3,
            attention=attention(4, 6, heads=2),
            nu=nu,
        )
        for nu in (1.0, 2.0)
    ]
    update = NodeUpdate(4, message_channels=6, power_channels=9, hidden_channels=4)
    return MultiScale(messages, update, DensityUpdate(4, 6, channels=2, l_max=2), DensityPowers(2, 2, out_channels=3))


def call_multi_scale(module, inputs):
    """The near scale is a selection of the edges within its cutoff."""
    near = (inputs.dist < NEAR).nonzero().squeeze(-1)
    return module(
        inputs.x,
        [inputs.edge_index[:, near], inputs.edge_index],
        [inputs.radial[near], inputs.radial],
        [PolynomialCutoff(NEAR)(inputs.dist[near]), inputs.envelope],
        [inputs.sphere[near], inputs.sphere],
        inputs.density,
    )


@pytest.mark.parametrize("attention", [SigmoidAttention, SoftmaxAttention])
def test_multi_scale_laws_of_node_features(laws, attention):
    laws(
        lambda: build_multi_scale(attention),
        lambda module, inputs: call_multi_scale(module, inputs)[0],
        "nodes",
        leaves_smoothly=True,
    )


def test_multi_scale_laws_of_density(laws):
    laws(
        build_multi_scale,
        lambda module, inputs: call_multi_scale(module, inputs)[1],
        "nodes",
        degrees(2),
        leaves_smoothly=True,
    )


def test_one_scale_is_the_interaction_layer(ethanol, inputs):
    given = inputs(ethanol)
    messages = Messages(RadialFeatures(3, out_channels=5), EdgeMLP(4, 5, 4, 6), num_radial=3)
    update = NodeUpdate(4, message_channels=6)
    expected, _ = Interaction(messages, update)(given.x, given.edge_index, given.radial, given.envelope)
    layer = MultiScale([messages], update)
    found, _ = layer(given.x, [given.edge_index], [given.radial], [given.envelope])
    torch.testing.assert_close(found, expected)


def test_equals_two_radius_graphs_by_hand(ethanol, water):
    """Two lists of ``torch_cluster.radius_graph``, messages on each, summed before the node network."""
    torch_cluster = pytest.importorskip("torch_cluster", reason="torch-cluster is not installed: `make cluster`")
    pos = torch.cat([ethanol.pos, water.pos + 1.0])
    batch = torch.tensor([0] * 9 + [1] * 3)
    layer, x = (
        build_multi_scale(),
        torch.sin(torch.cat([ethanol.z, water.z]).unsqueeze(-1) * torch.arange(1, 5)).to(pos),
    )
    density = torch.randn(12, 9, 2)

    def edges(radius):
        edge_index = torch_cluster.radius_graph(pos, radius, batch, max_num_neighbors=100)
        vec = pos[edge_index[0]] - pos[edge_index[1]]
        dist = vec.norm(dim=-1)
        return edge_index, BesselBasis(FAR, 3)(dist), PolynomialCutoff(radius)(dist), DirectionalBasis(2)(vec)

    scales = [edges(NEAR), edges(FAR)]
    total, change = torch.zeros(12, 6), torch.zeros(12, 9, 2)
    for messages, (edge_index, radial, envelope, sphere) in zip(layer.messages, scales, strict=True):
        message = messages(x, edge_index, radial, envelope, sphere, density)
        total = total.index_add(0, edge_index[1], message)
        change = change + layer.density_update(x, edge_index, message, sphere, density)
    expected = layer.node_update.update(total, x, layer.powers(density + change))

    # and by selection from one list at the larger cutoff, sorted by receiver
    vec = pos.unsqueeze(0) - pos.unsqueeze(1)
    pairs = (batch.unsqueeze(0) == batch.unsqueeze(1)) & ~torch.eye(12, dtype=torch.bool)
    target, source = (pairs & (vec.norm(dim=-1) < FAR)).nonzero().T
    vec, edge_index = vec[target, source], torch.stack([source, target])
    dist = vec.norm(dim=-1)
    near = (dist < NEAR).nonzero().squeeze(-1)
    radial, sphere = BesselBasis(FAR, 3)(dist), DirectionalBasis(2)(vec)
    found, new_density = layer(
        x,
        [edge_index[:, near], edge_index],
        [radial[near], radial],
        [PolynomialCutoff(NEAR)(dist[near]), PolynomialCutoff(FAR)(dist)],
        [sphere[near], sphere],
        density,
    )
    assert 0 < len(near) < len(dist)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(new_density, density + change)


def test_control_the_scales_differ(ethanol, inputs):
    layer, given = build_multi_scale(), inputs(ethanol)
    before = call_multi_scale(layer, given)[0]
    nn.init.zeros_(layer.messages[0].filter.weight)
    assert (call_multi_scale(layer, given)[0] - before).abs().max() > 1e-3


def test_multi_scale_symmetry():
    given = ("invariant", "invariant", "equivariant", "equivariant")
    assert build_multi_scale().symmetry(*given) == ("invariant", "equivariant")
    assert build_multi_scale().symmetry("unconstrained", *given[1:])[0] == "unconstrained"


def test_multi_scale_repr_names_the_parts():
    assert repr(build_multi_scale()).count("EdgeMLP(4, 5, 4, 6)") == 2


def test_scales_must_fit(ethanol, inputs):
    messages = [Messages(RadialFeatures(3, 5), EdgeMLP(4, 5, 4, width), num_radial=3) for width in (6, 7)]
    with pytest.raises(ValueError, match=r"'messages' must hold at least one scale, .* got widths \[6, 7\]"):
        MultiScale(messages, NodeUpdate(4, message_channels=6))
    with pytest.raises(ValueError, match=r"'messages' must hold at least one scale, .* got widths \[\]"):
        MultiScale([], NodeUpdate(4, message_channels=6))
    given = inputs(ethanol)
    with pytest.raises(ValueError, match="must hold one tensor for each of 2 scales, got 1, 1, 1 and 2"):
        build_multi_scale()(given.x, [given.edge_index], [given.radial], [given.envelope])
