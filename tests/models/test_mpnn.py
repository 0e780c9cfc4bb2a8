"""The representation: declared symmetry, cost of optional parts, arguments it refuses, one anchor by hand."""

from __future__ import annotations

import math

import pytest
import torch

from pyg_mpnn import (
    MPNN,
    Interaction,
    MultiScale,
    SigmoidAttention,
    neighbor_list,
)
from pyg_mpnn.geometry import edge_vectors

SMALL = {"hidden_channels": 16, "edge_dim": 8, "channels": 4, "num_layers": 2, "num_radial": 6}


def features(representation, data):
    edges = neighbor_list(data.pos, representation.cutoff)
    return representation(data.z, edges.edge_index, edge_vectors(data.pos, edges.edge_index))


@pytest.mark.parametrize(
    ("directions", "symmetry"), [("contracted", "invariant"), ("radial", "invariant"), ("raw", "unconstrained")]
)
@pytest.mark.parametrize("cutoff", [4.0, (2.5, 4.0)])
def test_declared_symmetry(directions, symmetry, cutoff):
    assert MPNN(directions=directions, cutoff=cutoff, **SMALL).symmetry == symmetry


@pytest.mark.parametrize("parts", [{"attention": "sigmoid"}, {"attention": "softmax", "heads": 2}])
def test_two_scales_are_two_lists_by_hand(ethanol, parts, dtype):
    """Each scale's messages on a list made by torch-cluster for its own cutoff, summed before the node network."""
    radius_graph = pytest.importorskip(
        "torch_cluster", reason="torch-cluster is not installed: `make cluster`"
    ).radius_graph
    representation = MPNN(cutoff=(2.5, 4.0), **SMALL, **parts)
    representation.set_neighbors([4.0, 8.0])
    lists = []
    for envelope in representation.envelopes:
        edge_index = radius_graph(ethanol.pos, envelope.cutoff, max_num_neighbors=100)
        vec = edge_vectors(ethanol.pos, edge_index)
        dist = vec.norm(dim=-1)
        assert (dist < envelope.cutoff).all()
        lists.append((edge_index, representation.radial(dist), envelope(dist), representation.directional(vec)))
    assert lists[0][0].shape[1] < lists[1][0].shape[1]
    edge_index, radial, envelope, sphere = lists[1]
    x = representation.embedding(ethanol.z)
    density = representation.density(x, edge_index, radial, sphere, envelope)
    for layer in representation.layers:
        total, change = 0, 0
        for scale, (edge_index, radial, envelope, sphere) in zip(layer.messages, lists, strict=True):
            message = scale(x, edge_index, radial, envelope, sphere, density)
            total = total + torch.zeros(len(x), 8).index_add(0, edge_index[1], message)
            change = change + layer.density_update(x, edge_index, message, sphere, density)
        density = density + change
        x = layer.node_update.update(total, x, layer.powers(density))
    torch.testing.assert_close(features(representation, ethanol)[-1], x)


def test_optional_parts_cost_nothing():
    """Without attention, scales and directions no weight and no module of theirs is left."""
    bare = MPNN(directions="radial", attention=None, **SMALL)
    names = [name for name, _ in bare.named_modules()]
    assert not [
        name for name in names if any(part in name for part in ("attention", "density", "powers", "contraction"))
    ]
    assert bare.directional is None
    assert all(type(layer) is Interaction for layer in bare.layers)
    full = MPNN(cutoff=(2.0, 4.0), attention="sigmoid", **SMALL)
    assert all(type(layer) is MultiScale for layer in full.layers)
    assert any(isinstance(module, SigmoidAttention) for module in full.modules())


def test_smoothness_is_that_of_the_cutoff():
    found = [MPNN(envelope=name, **SMALL).smoothness for name in ("cosine", "polynomial", "bump")]
    assert found == [1, 2, math.inf]


def test_neighbor_number_is_the_integral_of_the_cutoff():
    """Cosine: 3 int x^2 (cos(pi x) + 1)/2 dx = 1/2 - 3/pi^2."""
    representation = MPNN(envelope="cosine", **SMALL)
    representation.set_neighbors([100.0])
    expected = 100 * (0.5 - 3 / math.pi**2)
    assert abs(representation.density.nu.item() - expected) < 1e-3
    assert abs(representation.layers[1].messages.nu.item() - expected) < 1e-3


def test_no_edges(dtype):
    nothing = MPNN(cutoff=(2.0, 4.0), **SMALL)(
        torch.tensor([1, 8]), torch.zeros(2, 0, dtype=torch.long), torch.zeros(0, 3)
    )
    assert torch.isfinite(nothing[-1]).all()
    assert nothing[-1].shape == (2, 16)


def test_config_rebuilds():
    representation = MPNN(cutoff=(2.0, 4.0), basis="gaussian", attention="softmax", heads=2, **SMALL)
    assert MPNN(**representation.config).config == representation.config
    assert repr(representation).startswith("MPNN(cutoff=[2.0, 4.0], hidden_channels=16")


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cutoff": 0.0}, r"'cutoff' must be positive and finite \(in A\), got 0.0"),
        ({"cutoff": -1.0}, "'cutoff' must be positive"),
        ({"cutoff": math.nan}, "'cutoff' must be positive"),
        ({"cutoff": (4.0, 2.0)}, "'cutoff' must increase strictly"),
        ({"cutoff": (1.0, 2.0, 3.0, 4.0)}, "'cutoff' must hold one to three radii"),
        ({"basis": "fourier"}, "'basis' must be one of .* got 'fourier'"),
        ({"envelope": "step"}, "'envelope' must be one of"),
        ({"directions": "all"}, "'directions' must be one of"),
        ({"attention": "hard"}, "'attention' must be one of"),
        ({"heads": 2}, "'heads' must be 1 without attention, got 2"),
        ({"num_layers": 0}, "'num_layers' must be at least 1, got 0"),
        ({"attention": "sigmoid", "heads": 3}, "'edge_dim' a multiple of 'heads'"),
        ({"invariants": ("receiver", "receiver")}, "'invariants' must be distinct names"),
        ({"invariants": ()}, "'invariants' must be distinct names"),
        ({"l_max": -1}, "'l_max'"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        MPNN(**{**SMALL, **arguments})
