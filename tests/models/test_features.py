from __future__ import annotations

import pytest
import torch
from torch import nn
from torch_geometric.data import Data

from pyg_mpnn import MPNN, Potential
from pyg_mpnn.models.features import compute_features

TINY = {"hidden_channels": 16, "edge_dim": 8, "channels": 4, "num_layers": 2}


class Plain(nn.Module):
    """A representation without a density, which reads the charge of the structure where it is told to."""

    cutoff, out_channels, num_layers, symmetry = 3.0, 4, 1, "invariant"

    def __init__(self, charged: bool = False) -> None:
        super().__init__()
        self.charged = charged
        self.graph_inputs = ("charge",) if charged else ()
        self.mix = nn.Linear(2, 4)

    def forward(self, z, edge_index, edge_vec, charge=None):
        sums = edge_vec.new_zeros(len(z)).index_add(0, edge_index[1], edge_vec.norm(dim=1))
        return [self.mix(torch.stack([sums, torch.zeros_like(sums) if charge is None else charge], dim=1))]


class NoList(Plain):
    def forward(self, z, edge_index, edge_vec, charge=None):
        return super().forward(z, edge_index, edge_vec)[0]


class Narrow(Plain):
    def forward(self, z, edge_index, edge_vec, charge=None):
        return [x[:, 1:] for x in super().forward(z, edge_index, edge_vec)]


class Short(Plain):
    def forward(self, z, edge_index, edge_vec, charge=None):
        return [x[1:] for x in super().forward(z, edge_index, edge_vec)]


def test_features_of_the_layers_and_the_density(water, dtype):
    model = Potential.from_size("small", **TINY).to(dtype)
    found = model.features(water)
    assert [tuple(x.shape) for x in found.x] == [(3, 16), (3, 16)]
    assert tuple(found.density.shape) == (3, 9, 4)
    assert torch.equal(model.features(water.z, water.pos).x[-1], found.x[-1])
    values = model.atomwise(found.x)  # what the energies come from, but for those of isolated atoms
    assert values.shape == (3,)
    assert Potential(MPNN(**TINY, directions="radial")).to(dtype).features(water).density is None


def test_charge_reaches_the_representation(water, ethanol, tmp_path, unchecked):
    from pyg_mpnn import load_potential

    model = Potential(Plain(charged=True)).eval()
    assert model.graph_inputs == ("charge",)
    energies = []
    for charge in (0.0, 1.0):
        water.charge = torch.tensor([charge])
        energies.append(model(water).energy.item())
    assert abs(energies[1] - energies[0]) > 1e-4
    with pytest.raises(ValueError, match=r"'data' must have the field 'charge', one number a structure.*got none"):
        model(ethanol)
    with pytest.raises(ValueError, match="'inputs' must hold 'charge', one number a structure"):
        model(ethanol.z, ethanol.pos)
    with pytest.raises(ValueError, match=r"'inputs' must be what the model reads \(charge\), got 'spin'"):
        model(ethanol.z, ethanol.pos, inputs={"charge": 1.0, "spin": 1.0})
    with pytest.raises(TypeError, match="'inputs' must not be given beside a PyG object"):
        model(water, inputs={"charge": 1.0})
    assert model(water.z, water.pos, inputs={"charge": 1.0}).energy.item() == energies[1]
    ethanol.charge = torch.tensor([torch.nan])
    with pytest.raises(ValueError, match="'charge' must hold one finite number for each of 1 structures"):
        model(ethanol)
    alone = Data(z=torch.tensor([8]), pos=torch.zeros(1, 3), charge=torch.zeros(1))
    assert model(alone).energy.item() == 0.0, "a neutral isolated atom has its reference energy"
    model.save(tmp_path / "charged.pt")
    assert load_potential(tmp_path / "charged.pt", trust=[Plain])(water).energy.item() == energies[1]


def test_what_reads_edges_alone_says_so(water, unchecked):
    edges = torch.zeros(2, 0, dtype=torch.long), torch.zeros(0, 3)
    charged = Potential(Plain(charged=True))
    with pytest.raises(ValueError, match="'inputs' must hold 'charge' of each atom, which the representation reads"):
        charged.interaction_energies(water.z, *edges, torch.zeros(3, dtype=torch.long), 1)
    with pytest.raises(ValueError, match="'terms' must read no numbers of graphs, got Potential, which reads charge"):
        Potential(Plain(), terms=[charged])


def test_a_representation_that_gives_something_else_is_named(water, unchecked):
    with pytest.raises(TypeError, match=r"NoList.forward must return a list of 'num_layers' \(1\) .*got a tensor"):
        Potential(NoList())(water)
    with pytest.raises(
        TypeError, match=r"Narrow.forward must return .*\(nodes, out_channels\) = \(121, 4\), got \(121, 3\)"
    ):
        Potential(Narrow())(water)
    with pytest.raises(TypeError, match=r"Short.forward must return .* = \(121, 4\), got \(120, 4\) as number 0"):
        Potential(Short())(water)
    edges = torch.zeros(2, 0, dtype=torch.long), torch.zeros(0, 3)
    assert compute_features(Plain(), water.z, *edges).density is None
