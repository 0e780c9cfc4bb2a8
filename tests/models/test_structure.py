"""What comes in is checked once, in one place, and nothing that has no meaning is taken for something."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Batch, Data
from torch_geometric.index import Index

from pyg_mpnn import Potential, RadiusGraph, SumPotential
from pyg_mpnn.models.structure import read_structure
from pyg_mpnn.testing import laws

pytestmark = pytest.mark.usefixtures("unchecked")
SMALL = {"hidden_channels": 8, "edge_dim": 4, "channels": 2, "num_layers": 1, "num_radial": 4, "l_max": 1}
NONE = [None] * 6


@pytest.fixture
def potential(dtype):
    potential = Potential.from_size("small", cutoff=4.0, **SMALL).to(dtype).eval()
    potential.set_reference({1: -13.6, 6: -1029.0, 8: -2041.0, 14: -7800.0}, 0.5, [6.0])
    return potential


@pytest.mark.parametrize("offset", [1e4, 1e6])
def test_far_from_the_origin(potential, ethanol, offset):
    """Forces of a float32 network were off by 0.04 eV/A at 1e4 A and by 2.4 at 1e6."""
    near = ethanol.clone()
    near.pos = (ethanol.pos.double() * 2**20).round() / 2**20
    far = near.clone()
    far.pos = near.pos + offset
    for forces in (False, True):
        torch.testing.assert_close(potential(far, forces=forces).energy, potential(near).energy, rtol=0, atol=1e-8)
    torch.testing.assert_close(potential(far).forces, potential(near).forces, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(potential.virial(far), potential.virial(near), rtol=1e-5, atol=1e-6)
    assert potential(far).forces.dtype == potential.virial(far).dtype == potential.dtype


class Rounded(Potential):
    """Positions are taken to the precision of the network before their differences."""

    def forward(self, data, *args, **kwargs):
        return super().forward(data.clone().update({"pos": data.pos.to(self.dtype)}), *args, **kwargs)


def test_the_law_of_translation_sees_differences_of_rounded_positions(potential, ethanol):
    rounded = Rounded(potential.representation)
    assert laws.translation(potential, ethanol, dtype=torch.float32).verdict == "pass"
    assert laws.translation(rounded, ethanol, dtype=torch.float32).verdict == "fail"


def test_sums_take_differences_first_too(potential, ethanol):
    both = SumPotential(potential, potential)
    assert laws.translation(both, ethanol, dtype=torch.float32).verdict == "pass"


def test_everything_has_one_layout(silicon):
    data = RadiusGraph(4.0)(silicon)
    given = [data.z.int(), data.pos, Index(torch.zeros(2).long()), data.cell, data.pbc, data.edge_index.int()]
    structure = read_structure(*given, data.shifts.float())
    plain = read_structure(data, *NONE)
    for found, wanted in zip(structure[:8], plain[:8], strict=True):
        if isinstance(found, torch.Tensor):
            assert type(found) is torch.Tensor
            assert found.is_contiguous()
            assert found.dtype == wanted.dtype
            assert torch.equal(found, wanted)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"shifts": 0.5}, ValueError, r"'shifts' must be whole numbers of cells, got \[-0\.5, .*\] for edge 0"),
        ({"shifts": float("inf")}, ValueError, r"'shifts' must be whole numbers of cells, got \[inf, .*\] for edge 0"),
        ({"edge_index": torch.float32}, TypeError, r"'edge_index' must hold whole numbers, got torch\.float32"),
        ({"z": torch.bool}, TypeError, r"'z' must hold whole numbers, got torch\.bool"),
        ({"pos": torch.float16}, TypeError, r"'pos' must be float32 or float64, got torch\.float16"),
        ({"cutoff": 3.0}, ValueError, r"all edges up to the cutoff of the potential \(4 A\), got those up to 3 A"),
        ({"pbc": None}, ValueError, r"'pbc' must be given with a 'cell', got None"),
        ({"cell": None}, ValueError, r"'cell' must be given with periodic directions, got None"),
        ({"cell": torch.ones(1, 3, 3)}, ValueError, r"'cell' must have linearly independent periodic vectors"),
        ({"pbc": torch.tensor([[True, True, False]])}, ValueError, r"'shifts' must be zero along directions that are"),
        ({"pos": [[0.0] * 3]}, TypeError, r"'pos' must be a dense tensor, got list"),
        ({"z": [14, 14]}, TypeError, r"'z' must be a tensor of atomic numbers, got list"),
    ],
)
def test_what_has_no_meaning_is_refused(potential, silicon, change, error, message):
    data = RadiusGraph(4.0)(silicon)
    for name, value in change.items():
        if isinstance(value, torch.dtype):
            data[name] = data[name].to(value)
        else:
            data[name] = data[name] + value if name == "shifts" else value
    with pytest.raises(error, match=message):
        potential(data)


def test_edges_join_atoms_of_one_structure(potential, water):
    batch = Batch.from_data_list([RadiusGraph(4.0)(water)] * 2)
    potential(batch)
    batch.edge_index[0, -1] = 1
    with pytest.raises(ValueError, match=r"got edge 11 from atom 1 of graph 0 to atom 5 of graph 1"):
        potential(batch)


def test_atoms_are_in_the_order_of_their_structures(potential, water):
    with pytest.raises(ValueError, match=r"'batch' must be sorted, got a smaller graph at atom 2"):
        potential(water.z, water.pos, torch.tensor([0, 1, 0]))


def test_edges_up_to_a_larger_cutoff_are_taken(potential, ethanol):
    torch.testing.assert_close(potential(RadiusGraph(6.0)(ethanol)).energy, potential(ethanol).energy)
    assert read_structure(Batch.from_data_list([RadiusGraph(6.0)(ethanol)] * 2), *NONE).reach == 6.0
    assert read_structure(Data(z=ethanol.z, pos=ethanol.pos), *NONE).reach is None


def test_autocast_is_refused(potential, water):
    with torch.autocast("cpu", torch.bfloat16):
        with pytest.raises(ValueError, match=r"'autocast' must be off where a potential is called"):
            potential(water)
        with torch.autocast("cpu", enabled=False):
            potential(water)
