"""The three ways of learned features: which symmetry each keeps, and what each sees."""

from __future__ import annotations

import pytest
import torch

from pyg_mpnn import ContractedFeatures, LearnedFeatures, RadialFeatures, RawFeatures
from pyg_mpnn.basis import degrees

INVARIANTS = ("receiver", "sender", "pair")


def contracted(invariants=INVARIANTS):
    return ContractedFeatures(3, channels=2, l_max=2, out_channels=5, invariants=invariants)


def raw():
    return RawFeatures(3, l_max=2, out_channels=5)


def radial():
    return RadialFeatures(3, out_channels=5)


def call(module, inputs):
    return module(inputs.density, inputs.edge_index, inputs.radial, inputs.sphere)


def call_radial(module, inputs):
    return module(None, inputs.edge_index, inputs.radial)


@pytest.mark.parametrize("invariants", [INVARIANTS, ("receiver",), ("sender",), ("pair",)])
def test_laws_contracted(laws, invariants):
    laws(lambda: contracted(invariants), call, "edges", runs="edge_updater")


def test_laws_radial(laws):
    laws(radial, call_radial, "edges")


def test_raw_features_do_change_under_rotation(laws):
    """Declared, documented, and tested for exactly that."""
    with pytest.raises(AssertionError, match="rotation law broken"):
        laws(raw, call, "edges")


def test_raw_features_are_the_network_on_distance_and_direction(ethanol, inputs):
    layer, given = raw(), inputs(ethanol)
    expected = layer.mlp(torch.cat([given.radial, given.sphere], dim=-1))
    torch.testing.assert_close(call(layer, given), expected)


def test_radial_features_are_the_network_on_the_distance(ethanol, inputs):
    layer, given = radial(), inputs(ethanol)
    torch.testing.assert_close(call_radial(layer, given), layer.mlp(given.radial))


def test_contracted_features_written_out(ethanol, inputs):
    """Anchor: <A_i, Y_ij>_l, <A_j, Y_ij>_l and <A_i, A_j>_l of each channel, averaged over m, after the distance."""
    layer, given = contracted(), inputs(ethanol)
    source, target = given.edge_index
    direction = given.sphere.unsqueeze(-1)
    pairs = [
        (given.density[target], direction),
        (given.density[source], direction),
        (given.density[target], given.density[source]),
    ]
    columns = [given.radial]
    for first, second in pairs:
        for l in range(3):
            columns.append((first * second)[:, degrees(2) == l].mean(dim=1).asinh())
    torch.testing.assert_close(call(layer, given), layer.mlp(torch.cat(columns, dim=-1)))


def test_angles_around_receiver_and_sender_are_told_apart(ethanol, inputs):
    given = inputs(ethanol)
    torch.manual_seed(0)
    receiver = call(contracted(("receiver",)), given)
    torch.manual_seed(0)
    sender = call(contracted(("sender",)), given)
    assert (receiver - sender).abs().max() > 1e-3


def test_receiver_features_include_the_angle_of_the_neighbour_to_itself(water, inputs):
    """The self term: the H has one neighbour, and its density points along the very edge."""
    given = inputs(water, 1.2)
    edge = int((given.edge_index[1] == 1).nonzero())
    layer = contracted(("receiver",))
    products = layer.contraction(given.density[1:2], given.sphere[edge : edge + 1].unsqueeze(-1))
    assert (products > 0.0).all() or (products.sign() == products[:, :1].sign()).all()
    assert products.abs().min() > 1e-3


@pytest.mark.parametrize(
    ("build", "of", "expected"),
    [
        (contracted, ("equivariant", "invariant", "equivariant"), "invariant"),
        (contracted, ("unconstrained", "invariant", "equivariant"), "unconstrained"),
        (contracted, ("equivariant", "unconstrained", "equivariant"), "unconstrained"),
        (raw, ("equivariant", "invariant", "equivariant"), "unconstrained"),
        (radial, ("equivariant", "invariant", "equivariant"), "invariant"),
        (radial, ("equivariant", "unconstrained", "equivariant"), "unconstrained"),
    ],
)
def test_symmetry(build, of, expected):
    assert build().symmetry(*of) == expected


def test_one_interface():
    for build in (contracted, raw, radial):
        assert isinstance(build(), LearnedFeatures)
        assert build().out_channels == 5
    with pytest.raises(TypeError, match="abstract"):
        LearnedFeatures()


def test_repr_names_the_sizes():
    assert repr(contracted(("pair",))) == "ContractedFeatures(3, 2, l_max=2, out_channels=5, invariants=('pair',))"
    assert repr(raw()) == "RawFeatures(3, l_max=2, out_channels=5)"
    assert repr(radial()) == "RadialFeatures(3, out_channels=5)"


@pytest.mark.parametrize("invariants", [(), ("pair", "pair"), ("torsion",)])
def test_invariants_must_be_known(invariants, unchecked):
    with pytest.raises(ValueError, match="'invariants' must be distinct names out of"):
        contracted(invariants)


@pytest.mark.parametrize(
    "build",
    [
        lambda: ContractedFeatures(0, channels=2, l_max=2, out_channels=5),
        lambda: ContractedFeatures(3, channels=0, l_max=2, out_channels=5),
        lambda: ContractedFeatures(3, channels=2, l_max=-1, out_channels=5),
        lambda: RawFeatures(0, l_max=2, out_channels=5),
        lambda: RawFeatures(3, l_max=-1, out_channels=5),
        lambda: RadialFeatures(0, out_channels=5),
        lambda: RadialFeatures(3, out_channels=0),
    ],
)
def test_sizes_must_make_sense(build):
    with pytest.raises(ValueError, match=r"'.*' must .*got"):
        build()


def test_without_a_network_the_inputs_come_as_they_are(water, inputs):
    given = inputs(water)
    plain, network = ContractedFeatures(3, 2, 2, None), ContractedFeatures(3, 2, 2, 5)
    features = call(plain, given)
    assert features.shape[1] == plain.out_channels == 3 + 3 * 3 * 2
    torch.testing.assert_close(network.mlp(features), call(network, given))
    assert not list(plain.parameters())
    assert "out_channels=None" in repr(plain)
