"""Atomic energies: scale, reference energies in float64, unknown elements."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn

from pyg_mpnn import MLP, AtomwiseEnergy
from pyg_mpnn.testing import assert_copies_law, assert_gradients, assert_permutation_law, assert_reset_law

ENERGIES = {1: -13.587222780835477, 6: -1029.4889999855063, 8: -2041.9816003861047}  # eV


def build(num_heads=1):
    head = AtomwiseEnergy(4, hidden_channels=5, num_heads=num_heads)
    head.set_reference(ENERGIES, scale=2.5)
    return head


def features(data):
    return torch.sin(data.z.unsqueeze(-1) * torch.arange(1, 5)).to(data.pos)


def test_formula(ethanol, dtype):
    head, x = build(num_heads=2), features(ethanol)
    interaction = head([x, x**2])
    torch.testing.assert_close(interaction, 2.5 * (head.heads[0](x) + head.heads[1](x**2)).squeeze(-1))
    assert interaction.dtype == dtype


def test_reference_stays_float64_and_exact(ethanol):
    """A float32 total near -4,200 eV is off by up to 0.2 meV; the reference is not, whatever happens to the module."""
    head = build().to(torch.float32).half().to(torch.float64).float()
    for other in (head, copy.deepcopy(head), pickle.loads(pickle.dumps(head))):
        assert other.reference.dtype == torch.float64
        assert other.reference[ethanol.z].tolist() == [ENERGIES[element] for element in ethanol.z.tolist()]


def test_reference_and_scale_are_saved():
    other = AtomwiseEnergy(4, hidden_channels=5)
    other.load_state_dict(build().state_dict())
    assert other.elements == (1, 6, 8)
    assert float(other.scale) == 2.5
    assert other.reference[8].item() == ENERGIES[8]


def test_unknown_elements_are_an_error_when_used(ethanol):
    head = build()
    head.check_elements(ethanol.z)
    with pytest.raises(
        ValueError, match=r"'z' must hold elements the model was trained on \(\[1, 6, 8\]\), got \[7, 9\]"
    ):
        head.check_elements(torch.tensor([1, 7, 9, 7]))


@pytest.mark.parametrize("z", [[0, 1], [1, 119], [-1]])
def test_atomic_numbers_must_be_elements(z):
    with pytest.raises(ValueError, match=r"'z' must hold atomic numbers 1\.\.118, got values from"):
        build().check_elements(torch.tensor(z))


def test_without_reference_all_elements_are_known(ethanol):
    head = AtomwiseEnergy(4, hidden_channels=5)
    head.check_elements(torch.arange(1, 119))
    assert head.reference[ethanol.z].abs().max() == 0.0
    assert len(head.elements) == 118


def test_no_atoms():
    head = build()
    head.check_elements(torch.zeros(0, dtype=torch.long))
    assert head([torch.zeros(0, 4)]).shape == (0,)


def test_permutation(ethanol):
    head = build()
    assert_permutation_law(lambda data: head([features(data)]), ethanol, "nodes")


def test_gradients(water):
    head = build().double()
    x = features(water).double()
    assert_gradients(lambda x: head([x]), [x])


def test_copies_reset_and_repr(water):
    assert_copies_law(build, lambda module: module([features(water)]))
    head = build()
    assert_reset_law(head)
    assert head.elements == (1, 6, 8)
    assert repr(head) == "AtomwiseEnergy(4, 5, num_heads=1)"


def test_symmetry():
    assert build().symmetry("invariant", "invariant") == "invariant"
    assert build().symmetry("invariant", "unconstrained") == "unconstrained"


@pytest.mark.parametrize(
    ("energies", "scale"), [({}, 1.0), ({1: float("nan")}, 1.0), ({1: 0.0}, 0.0), ({1: 0.0}, float("inf"))]
)
def test_reference_must_be_finite(energies, scale):
    with pytest.raises(
        ValueError, match=r"'energies' must hold a finite energy in eV .* and 'scale' be positive and finite"
    ):
        build().set_reference(energies, scale)


@pytest.mark.parametrize("element", [0, 119])
def test_reference_must_be_of_elements(element):
    with pytest.raises(ValueError, match=r"'energies' must have atomic numbers 1\.\.118 as keys, got"):
        build().set_reference({element: 1.0}, 1.0)


def test_number_of_heads_must_be_positive():
    with pytest.raises(ValueError, match="'num_heads' must be at least 1, got 0"):
        AtomwiseEnergy(4, 5, num_heads=0)


def test_one_tensor_of_features_for_each_head(ethanol):
    with pytest.raises(ValueError, match=r"shorter|longer"):
        build(num_heads=2)([features(ethanol)])


def test_head_of_ones_own(ethanol):
    """It takes the place of the network; scale and reference energies stay ours."""
    own = MLP([4, 3, 3, 1], nn.Tanh())
    head = AtomwiseEnergy(4, hidden_channels=5, head=own)
    head.set_reference(ENERGIES, scale=2.5)
    torch.testing.assert_close(head([features(ethanol)]), 2.5 * own(features(ethanol)).squeeze(-1))
    assert {name for name, _ in head.named_parameters()} == {f"heads.0.{name}" for name, _ in own.named_parameters()}
    assert_reset_law(head)


def test_head_must_fit():
    with pytest.raises(ValueError, match=r"'head' must map \(nodes, 4\) to \(nodes, 1\), got \(2, 2\) from \(2, 4\)"):
        AtomwiseEnergy(4, 5, head=MLP([4, 2]))
    with pytest.raises(ValueError, match="'head' is one network for the last layer, got 2 layers: pass heads='last'"):
        AtomwiseEnergy(4, 5, num_heads=2, head=MLP([4, 1]))


def test_reference_energies_have_the_same_bits_in_every_order():
    head, added = build(), []
    z, batch = torch.tensor([1, 6, 8]).repeat(200), torch.arange(2).repeat_interleave(300)
    expected = head.reference_energies(z, batch, 2)
    for _ in range(5):
        order = torch.cat([torch.randperm(300), 300 + torch.randperm(300)])
        assert torch.equal(head.reference_energies(z[order], batch, 2), expected)
        added.append(torch.zeros(2).double().index_add(0, batch, head.reference[z[order]]))
    assert any(not torch.equal(one, added[0]) for one in added), "control: atom after atom the order is seen"
