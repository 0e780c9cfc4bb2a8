"""A traced graph, run by torch itself, gives energies, forces and virial for structures of other sizes."""

from __future__ import annotations

import pytest
import torch

from pyg_mpnn import Potential, RadiusGraph
from pyg_mpnn.deploy.support import tracing
from pyg_mpnn.deploy.tracing import Inputs, Kind, example_tensors, trace, unflatten

pytestmark = [pytest.mark.usefixtures("unchecked"), pytest.mark.filterwarnings("ignore::DeprecationWarning")]
SMALL = {"hidden_channels": 8, "edge_dim": 4, "channels": 2, "num_layers": 1, "num_radial": 4, "l_max": 1}


@pytest.fixture
def potential():
    potential = Potential.from_size("small", cutoff=4.0, **SMALL).double().eval()
    potential.set_reference({1: -13.6, 6: -1029.0, 8: -2041.0, 14: -7800.0}, 0.5, [6.0])
    return potential


@pytest.fixture
def crystal(silicon):
    silicon.pos, silicon.cell = silicon.pos.double(), silicon.cell.double()
    return RadiusGraph(4.0)(silicon)


@pytest.mark.slow
def test_graph_is_free_in_its_sizes(potential, crystal):
    kind = Kind(trained=False, stress=True, periodic=True, scales=1)
    traced = trace(potential, kind, torch.float64, torch.device("cpu"))
    state = example_tensors(potential, traced, kind)[: len(traced.names)]
    cells = torch.cat([crystal.cell, crystal.cell])  # two, of which the second is empty
    inputs = Inputs(
        crystal.z, crystal.pos, torch.zeros_like(crystal.z), crystal.edge_index, crystal.shifts.long(), cells, ()
    )
    found = unflatten(kind, traced.graph(*state, *inputs.flat()))
    wanted = potential(crystal, stress=True)
    torch.testing.assert_close(found.energies + potential.atomwise.reference[crystal.z], wanted.atom_energies)
    torch.testing.assert_close(found.forces, wanted.forces)
    volume = torch.linalg.det(crystal.cell[0]).abs()
    torch.testing.assert_close(-found.virial[0] / volume, wanted.stress[0])
    assert not found.virial[1].any()
    assert not found.coincide


@pytest.mark.slow
def test_no_size_of_the_example_is_fixed(potential):
    """Torch's export, unlike a slice by a constant, does not let a length pass that the trace has fixed."""
    kind = Kind(trained=False, stress=True, periodic=True, scales=1)
    traced = trace(potential, kind, torch.float64, torch.device("cpu"))
    free = torch.export.Dim.DYNAMIC
    shapes = tuple(None if axis is None else {axis: free} for axis in traced.dynamic)
    tensors = tuple(tensor.detach() for tensor in example_tensors(potential, traced, kind))
    with torch.no_grad(), tracing():
        torch.export.export(Graph(traced.graph), tensors, dynamic_shapes=(shapes,))


class Graph(torch.nn.Module):
    def __init__(self, graph):
        super().__init__()
        self.held = (graph,)

    def forward(self, *tensors):
        return self.held[0](*tensors)


@pytest.mark.slow
def test_state_is_an_input_and_only_what_is_read(potential):
    kind = Kind(trained=False, stress=False, periodic=False, scales=1)
    traced = trace(potential, kind, torch.float64, torch.device("cpu"))
    assert "module.atomwise.scale" in traced.names
    assert "module.atomwise.reference" not in traced.names  # added outside
    assert len(example_tensors(potential, traced, kind)) == len(traced.dynamic) == len(traced.names) + 4
    assert traced.dynamic[-4:] == (0, 0, 0, 1)
    tensors = example_tensors(potential, traced, kind)
    before = unflatten(kind, traced.graph(*tensors)).energies
    with torch.no_grad():
        potential.atomwise.scale.mul_(3.0)
    torch.testing.assert_close(unflatten(kind, traced.graph(*tensors)).energies, 3.0 * before)


@pytest.mark.slow
def test_narrow_weights_are_copied_for_training_only(potential):
    def copies(trained):
        kind = Kind(trained, stress=False, periodic=False, scales=1)
        graph = trace(potential, kind, torch.float64, torch.device("cpu")).graph
        return sum(node.target is torch.ops.aten.clone.default for node in graph.graph.nodes)

    assert copies(trained=True) > copies(trained=False) == 0


@pytest.mark.slow
def test_atoms_at_one_place_are_seen(potential):
    kind = Kind(trained=False, stress=False, periodic=False, scales=1)
    traced = trace(potential, kind, torch.float64, torch.device("cpu"))
    tensors = example_tensors(potential, traced, kind)
    assert not unflatten(kind, traced.graph(*tensors)).coincide
    tensors[-3][1] = tensors[-3][0]
    assert unflatten(kind, traced.graph(*tensors)).coincide
