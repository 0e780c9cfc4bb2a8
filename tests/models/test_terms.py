"""Terms of an energy of a user's own, with edges or with positions and cell."""

from __future__ import annotations

import pytest
import torch

from pyg_mpnn import MPNN, ZBL, EnergyTerm, Potential, load_potential, testing
from pyg_mpnn.deploy import CompilationError
from pyg_mpnn.scatter import scatter_sum

TINY = {"hidden_channels": 16, "edge_dim": 8, "channels": 4, "num_layers": 1}


class Repulsion(EnergyTerm):
    """A fourth power of what is left to the cutoff, for each edge."""

    smoothness = 3.0

    def __init__(self, height: float = 1.0, cutoff: float = 3.0) -> None:
        super().__init__()
        self.height, self.cutoff = height, cutoff

    def forward(self, geometry):
        left = (self.cutoff - geometry.edge_vec.norm(dim=1)).clamp(min=0)
        return scatter_sum(self.height * left**4, geometry.edge_index[1], len(geometry.z))


class Volume(EnergyTerm):
    """A pressure of 0.1 eV/A^3 on the cell, shared by its atoms: it needs the cell."""

    needs_positions = True

    def forward(self, geometry):
        atoms = torch.bincount(geometry.batch, minlength=geometry.num_graphs)
        return (0.1 * torch.linalg.det(geometry.cell).abs() / atoms)[geometry.batch]


class Misshapen(Repulsion):
    def forward(self, geometry):
        return super().forward(geometry).sum()


def pair(*terms):
    """The same network without and with terms."""
    torch.manual_seed(0)
    network = MPNN(**TINY)
    plain = Potential(network).double().eval()
    extended = Potential(network, terms=terms).double().eval()
    extended.load_state_dict(plain.state_dict(), strict=False)
    return plain, extended


@pytest.mark.parametrize("dtype", [torch.float64], indirect=True)
def test_term_is_added_and_differentiated(ethanol, dtype):
    plain, extended = pair(Repulsion(), ZBL(cutoff=3.0).double())
    assert extended(ethanol).energy > plain(ethanol).energy + 1.0
    testing.assert_forces_law(lambda data: extended(data)[:2], ethanol)
    assert extended.smoothness == 2.0


@pytest.mark.parametrize("dtype", [torch.float64], indirect=True)
def test_term_reads_the_cell(silicon, dtype):
    plain, extended = pair(Volume())
    one, other = plain(silicon, stress=True), extended(silicon, stress=True)
    assert (other.energy - one.energy).item() == pytest.approx(0.1 * torch.linalg.det(silicon.cell[0]).abs().item())
    torch.testing.assert_close(other.stress - one.stress, 0.1 * torch.eye(3)[None])
    torch.testing.assert_close(other.forces, one.forces)
    with pytest.raises(CompilationError, match="takes no terms that read positions"):
        extended.compile("on")


def test_term_is_rebuilt_from_the_file(tmp_path, water):
    model = Potential(MPNN(**TINY), terms=[Repulsion(2.0)]).eval()
    model.save(tmp_path / "own.pt")
    with pytest.raises(ValueError, match="is code that is not of this package"):
        load_potential(tmp_path / "own.pt")
    loaded = load_potential(tmp_path / "own.pt", trust=[Repulsion])
    assert loaded.terms[0].height == 2.0
    assert torch.equal(loaded(water).energy, model(water).energy)


def test_what_cannot_be_a_term_is_refused(water, unchecked):
    with pytest.raises(ValueError, match=r"at most the cutoff of the representation \(5 A\), got 6 A of Repulsion"):
        Potential(MPNN(**TINY), terms=[Repulsion(cutoff=6.0)])
    with pytest.raises(TypeError, match="'terms' must be EnergyTerm or energy models"):
        Potential(MPNN(**TINY), terms=[torch.nn.Linear(1, 1)])
    with pytest.raises(TypeError, match=r"Misshapen.forward must return the energy of each atom.*\(3,\), got \(\)"):
        Potential(MPNN(**TINY), terms=[Misshapen()])(water)
    with pytest.raises(ValueError, match="must be left out where 'energy' is False"):
        Potential(MPNN(**TINY), terms=[Repulsion()], energy=False)
