"""Models that are not what their description says."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pyg_mpnn import MPNN, ZBL, BesselBasis, GaussianBasis, Potential, SumPotential
from pyg_mpnn.models.rebuild import check_rebuilds, digest, probe, rebuild, same_energy

SMALL = {"hidden_channels": 8, "edge_dim": 8, "channels": 2, "num_layers": 2, "num_radial": 4}


class Unsaid(MPNN):
    """A network that does not keep its argument."""

    def __init__(self, width: int = 8) -> None:
        super().__init__(**SMALL | {"hidden_channels": width})
        self.config = {}


class Untold(Unsaid):
    def __init__(self, width: int) -> None:
        super().__init__(width)


def make(**options):
    return Potential(MPNN(**SMALL, **options))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], indirect=True)
def test_what_was_made_by_its_description_passes(dtype):
    for model in (make(), make(basis=GaussianBasis(5.0, 4, eta=3.0)), SumPotential(make().double(), ZBL()), ZBL(2.0)):
        assert check_rebuilds(model) == model.config
        assert type(rebuild(model)) is type(model)


def test_what_was_changed_later_is_named():
    def replace_basis(model):
        model.representation.radial = GaussianBasis(5.0, 4)

    def change_basis(model):
        model.representation.radial.cutoff = 4.0

    def share(model):
        model.representation.layers[1].node_update.mlp = model.representation.layers[0].node_update.mlp

    def widen(model):
        model.atomwise.heads[0].linears[0] = nn.Linear(8, 65)

    def add(model):
        model.atomwise.extra = nn.Linear(1, 1)

    for change, what in (
        (replace_basis, r"representation.radial is GaussianBasis here, BesselBasis when built again"),
        (change_basis, r"6 atoms have .* here, .* when built again with the same weights"),
        (share, r"weights are shared otherwise"),
        (widen, r"atomwise.heads.0.linears.0.weight has the shape \(65, 8\) here, \(64, 8\) when built"),
        (add, r"atomwise.extra is Linear here, absent when built again"),
    ):
        model = make()
        check_rebuilds(model)
        change(model)
        with pytest.raises(TypeError, match=what):
            check_rebuilds(model)


def test_an_argument_that_is_not_kept_is_its_default_or_an_error():
    assert check_rebuilds(Potential(Unsaid()))["representation"]["class"].endswith(":Unsaid")
    with pytest.raises(TypeError, match=r"shape .* Store the arguments of Unsaid under their own names"):
        check_rebuilds(Potential(Unsaid(16)))
    with pytest.raises(TypeError, match=r"Untold has no attribute 'width'; write self.width = width in its __init__"):
        check_rebuilds(Potential(Untold(16)))


def test_checking_changes_nothing():
    model = make().train()
    model.representation.eval()
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    check_rebuilds(model)
    assert torch.equal(torch.rand(1), expected)
    assert model.training
    assert not model.representation.training
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


def test_probe_and_digest_see_a_weight(dtype):
    model = make()
    kept, before = probe(model), digest(model.config, model.state_dict())
    assert same_energy(model, kept)[1]
    other = {name: value.clone() for name, value in model.state_dict().items()}
    other["representation.embedding.embedding.weight"][0] += 0.01
    assert probe(model, other)["energy"] != kept["energy"]
    assert digest(model.config, other) != before
    assert digest({**model.config, "heads": "last"}, model.state_dict()) != before
    model.load_state_dict(other)
    assert not same_energy(model, kept)[1]


def test_a_basis_of_another_type_changes_the_probe():
    assert probe(make()) != probe(make(basis=BesselBasis(5.0, 4))), "random weights differ"
