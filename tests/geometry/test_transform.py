from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader
from torch_geometric.transforms import Compose, RandomJitter

from pyg_mpnn.geometry import RadiusGraph, SkinList, edge_vectors, neighbor_list


def molecule(num_nodes):
    return Data(z=torch.ones(num_nodes, dtype=torch.long), pos=4.0 * torch.rand(num_nodes, 3), num_nodes=num_nodes)


def crystal(num_nodes, periodic=True):
    data = molecule(num_nodes)
    data.cell, data.pbc = 4.0 * torch.eye(3)[None], torch.full((1, 3), periodic)
    return data


def test_attaches_the_neighbor_list():
    torch.manual_seed(0)
    data = crystal(5)
    result = RadiusGraph(3.0)(data)
    expected = neighbor_list(data.pos, 3.0, cell=data.cell, pbc=data.pbc)
    assert torch.equal(result.edge_index, expected.edge_index)
    assert torch.equal(result.shifts, expected.shifts)
    assert result.shifts.any()
    assert result.cutoff == 3.0
    assert "edge_index" not in data  # the input is left alone, as by PyG's transforms


@pytest.mark.parametrize("cutoffs", [(2.0, 4.0), (1.5, 2.5, 4.0)])
@pytest.mark.parametrize("make", [molecule, crystal])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_of_several_cutoffs_the_largest_counts(cutoffs, make, dtype):
    torch.manual_seed(0)
    data = make(8)
    data.pos = data.pos.to(dtype)
    result, expected = RadiusGraph(cutoffs)(data), RadiusGraph(cutoffs[-1])(data)
    assert torch.equal(result.edge_index, expected.edge_index)
    assert torch.equal(result.shifts, expected.shifts)
    assert result.cutoff == expected.cutoff == cutoffs[-1]


def test_list_of_a_batch_is_the_batch_of_lists():
    """Molecules, crystals, an isolated atom and an empty molecule at the end; a zero cell stands for none."""
    torch.manual_seed(0)
    frames = [crystal(4), crystal(3, periodic=False), crystal(1, periodic=False), crystal(2), crystal(0)]
    frames[1].cell = torch.zeros(1, 3, 3)
    transform = RadiusGraph([2.0, 3.5])
    separate = Batch.from_data_list([transform(data) for data in frames])
    together = transform(Batch.from_data_list(frames))
    for key in ("edge_index", "shifts"):
        assert torch.equal(separate[key], together[key])
    assert separate.num_graphs == 5
    vec = edge_vectors(separate.pos, separate.edge_index, separate.shifts, separate.cell, separate.batch)
    assert (vec.norm(dim=1) < 3.5).all()


def test_molecules_go_through_a_loader():
    torch.manual_seed(0)
    frames = [RadiusGraph(3.0)(molecule(n)) for n in (3, 0, 5, 0)]
    (batch,) = DataLoader(frames, batch_size=4)
    assert batch.num_graphs == 4
    assert batch.shifts.shape == (batch.edge_index.shape[1], 3)
    expected = neighbor_list(batch.pos, 3.0, batch=batch.batch, num_graphs=4)
    assert torch.equal(batch.edge_index, expected.edge_index)


def test_is_a_pyg_transform():
    transform = RadiusGraph([3.0, 5.0], backend="torch")
    assert repr(transform) == "RadiusGraph(cutoff=(3.0, 5.0), backend='torch')"
    data = molecule(6)
    for copied in (copy.deepcopy(transform), pickle.loads(pickle.dumps(transform))):
        assert torch.equal(copied(data).edge_index, transform(data).edge_index)
    assert Compose([RandomJitter(0.01), transform])(data).edge_index.shape[1] > 0


def test_bad_input_is_an_error(unchecked):
    with pytest.raises(ValueError, match=r"'cutoff' must increase strictly, got \(5.0, 3.0\)"):
        RadiusGraph([5.0, 3.0])
    with pytest.raises(ValueError, match=r"'data' must have positions, got data.pos = None"):
        RadiusGraph(5.0)(Data(z=torch.ones(3)))
    data = crystal(3)
    del data.pbc
    with pytest.raises(ValueError, match=r"'pbc' must be given with a 'cell', got None"):
        RadiusGraph(5.0)(data)


@pytest.mark.parametrize("build", [RadiusGraph, SkinList])
def test_an_unknown_backend_is_refused_at_once(build, unchecked):
    with pytest.raises(ValueError, match=r"'backend' must be one of .*, got 'x'"):
        build(5.0, backend="x")
    with pytest.raises(TypeError, match=r"'cutoff' must be a number \(in A\), got True"):
        build(True)
