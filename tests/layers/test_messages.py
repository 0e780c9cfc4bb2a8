"""Messages: the laws for every way and attention, and the formula written out."""

from __future__ import annotations

import pytest
import torch

from pyg_mpnn import (
    ContractedFeatures,
    EdgeMLP,
    Messages,
    RadialFeatures,
    RawFeatures,
    SigmoidAttention,
    SoftmaxAttention,
)

ATTENTIONS = {"none": None, "sigmoid": SigmoidAttention, "softmax": SoftmaxAttention}


def build(features=None, attention=None, nu=1.0):
    features = RadialFeatures(3, out_channels=5) if features is None else features
    attention = None if attention is None else attention(4, 6, heads=2)
    return Messages(features, EdgeMLP(4, 5, 4, 6), num_radial=3, attention=attention, nu=nu)


def contracted():
    return ContractedFeatures(3, channels=2, l_max=2, out_channels=5)


def call(module, inputs):
    return module(inputs.x, inputs.edge_index, inputs.radial, inputs.envelope, inputs.sphere, inputs.density)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_laws(laws, attention):
    laws(lambda: build(contracted(), ATTENTIONS[attention]), call, "edges")


def test_raw_directions_change_under_rotation(laws):
    with pytest.raises(AssertionError, match="rotation law broken"):
        laws(lambda: build(RawFeatures(3, l_max=2, out_channels=5)), call, "edges")


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_formula_written_out(ethanol, inputs, attention):
    layer, given = build(contracted(), ATTENTIONS[attention], nu=3.0), inputs(ethanol)
    features = layer.features(given.density, given.edge_index, given.radial, given.sphere)
    message = layer.edge_mlp(given.x, given.edge_index, features)
    expected = message * (given.radial @ layer.filter.weight.T) * given.envelope.unsqueeze(-1) / 3.0
    if layer.attention is not None:
        alpha = layer.attention(given.x, given.edge_index, message, given.envelope)
        expected = expected * alpha.repeat_interleave(3, dim=1)  # 6 channels in 2 heads
    torch.testing.assert_close(call(layer, given), expected)


def test_vanishes_with_the_cutoff_function(ethanol, inputs):
    given = inputs(ethanol)
    for attention in ATTENTIONS.values():
        without = given._replace(envelope=torch.zeros_like(given.envelope))
        assert (call(build(contracted(), attention), without) == 0.0).all()


def test_without_attention_there_is_nothing_of_it():
    names = [name for name, _ in build().named_parameters()]
    assert not [name for name in names if "attention" in name]
    assert len(names) < len(list(build(attention=SigmoidAttention).parameters()))


def test_symmetry():
    given = ("invariant", "invariant", "equivariant", "equivariant")
    assert build(contracted()).symmetry(*given) == "invariant"
    assert build(contracted(), SoftmaxAttention).symmetry(*given) == "invariant"
    assert build(RawFeatures(3, 2, 5)).symmetry(*given) == "unconstrained"
    assert build(RadialFeatures(3, 5)).symmetry(*given) == "invariant"


def test_repr_names_the_parts():
    assert "EdgeMLP(4, 5, 4, 6)" in repr(build())
    assert "SigmoidAttention(4, 6, heads=2)" in repr(build(attention=SigmoidAttention))


def test_parts_must_fit():
    with pytest.raises(ValueError, match="'edge_mlp' must take the features' 4 channels as edge_dim, got 5"):
        build(RadialFeatures(3, out_channels=4))
    with pytest.raises(ValueError, match="'attention' must take the message's 6 channels as edge_dim, got 4"):
        Messages(RadialFeatures(3, 5), EdgeMLP(4, 5, 4, 6), num_radial=3, attention=SigmoidAttention(4, 4))
    with pytest.raises(ValueError, match=r"'nu' must be positive and finite, got 0\.0"):
        build(nu=0.0)
