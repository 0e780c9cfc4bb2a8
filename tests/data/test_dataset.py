from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader

from pyg_mpnn.data import StructureDataset, ethanol, read_structures
from pyg_mpnn.data.dataset import as_prepared
from pyg_mpnn.geometry import neighbor_list
from pyg_mpnn.units import KCAL_PER_MOL

SILICON = Path(__file__).parent / "assets" / "si.extxyz"


def pair(distance=1.0, **fields):
    pos = torch.tensor([[0.0, 0.0, 0.0], [distance, 0.0, 0.0]])
    return Data(z=torch.tensor([1, 1]), pos=pos, **fields)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_items_have_the_models_precision_and_its_edges(dtype):
    frames = read_structures(SILICON)
    dataset = StructureDataset(frames, cutoff=4.0, dtype=dtype)
    assert len(dataset) == 4
    for k, frame in enumerate(frames):
        item = dataset[k]
        expected = neighbor_list(frame.pos, 4.0, cell=frame.cell, pbc=frame.pbc)
        assert torch.equal(item.edge_index, expected.edge_index)
        assert torch.equal(item.shifts, expected.shifts)
        assert item.forces.dtype == item.stress.dtype == dtype
        assert item.energy.dtype == item.pos.dtype == item.cell.dtype == torch.float64
        assert torch.equal(item.energy, frame.energy)
    assert frames[0].pos.dtype == torch.float64  # the structures are left alone
    assert "edge_index" not in frames[0]


def test_edges_are_attached_once():
    dataset = StructureDataset(ethanol("test")[:1], cutoff=5.0)
    assert dataset[0].edge_index is dataset[0].edge_index
    assert repr(dataset) == "StructureDataset(1 structures)"


def test_molecules_and_crystals_share_a_loader():
    dataset = StructureDataset([*ethanol("test")[:2], *read_structures(SILICON)[:2]], cutoff=4.0)
    batch = next(iter(DataLoader(dataset, batch_size=4)))
    assert batch.ptr.tolist() == [0, 9, 18, 30, 46]
    assert batch.cell.shape == batch.stress.shape == (4, 3, 3)
    assert batch.stress.dtype == torch.float32
    assert batch.stress[:2].isnan().all()
    assert batch.stress[2:].isfinite().all()
    assert batch.edge_index.max() < 46
    assert batch.shifts.dtype == torch.int64


def test_fields_of_pyg_are_understood():
    data = pair(energy=torch.tensor(1.0), force=torch.ones(2, 3), edge_index=torch.tensor([[0], [1]]))
    assert StructureDataset([data], 5.0)[0].energy.item() == pytest.approx(KCAL_PER_MOL)
    assert StructureDataset([data], 5.0, units="eV")[0].energy.item() == 1.0
    assert StructureDataset([data], 5.0)[0].num_edges == 2  # a bond is not a neighbour list


def test_lone_atom_and_empty_molecule_are_valid():
    lone = Data(z=torch.tensor([8]), pos=torch.zeros(1, 3))
    empty = Data(z=torch.zeros(0, dtype=torch.int64), pos=torch.zeros(0, 3))
    dataset = StructureDataset([lone, empty, pair()], 5.0)
    assert [item.num_edges for item in dataset.frames] == [0, 0, 2]
    assert next(iter(DataLoader(dataset, batch_size=3))).ptr.tolist() == [0, 1, 1, 3]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (Data(z=torch.tensor([1])), "frame 1: 'data' must have the field 'pos', got only z"),
        (pair(distance=0.0), "'pos' of frame 1 must place the atoms, got all 2 at one point"),
        (pair(energy=torch.zeros(2)), r"'energy' of frame 1 must have the shape \(1,\) .* got \(2,\)"),
        (pair(forces=torch.zeros(3, 3)), r"'forces' of frame 1 must have the shape \(2, 3\) .* got \(3, 3\)"),
        (pair(energy=torch.tensor(torch.nan)), "'energy' of frame 1 must be finite, got nan"),
        (Data(z=torch.tensor([1, 1]), pos=torch.zeros(3, 3)), r"'pos' of frame 1 .* \(2, 3\) .* got \(3, 3\)"),
        (Data(z=torch.tensor([[1]]), pos=torch.ones(1, 3)), r"'z' of frame 1 must have shape \(nodes,\), got \(1, 1\)"),
        (Data(z=torch.tensor([119]), pos=torch.ones(1, 3)), "'z' of frame 1 .* got 119 at atom 0"),
    ],
)
def test_bad_frames_are_named(bad, message):
    with pytest.raises(ValueError, match=message):
        StructureDataset([pair(), bad], 5.0)


def test_labels_of_some_are_unknown_in_the_others():
    labelled = pair(energy=torch.tensor(1.0), forces=torch.ones(2, 3))
    dataset = StructureDataset([labelled, pair()], 5.0)
    assert dataset[1].energy.isnan().all()
    assert dataset[1].forces.isnan().all()
    assert "energy" not in dataset.structures[1]
    assert "stress" not in dataset[1], "none has one"
    batch = next(iter(DataLoader(dataset, batch_size=2)))
    assert batch.energy.isnan().tolist() == [False, True]


def test_a_part_is_neither_checked_nor_searched_again(monkeypatch):
    dataset = StructureDataset([pair(), pair(distance=2.0), pair(distance=3.0)], 5.0)
    monkeypatch.setattr("pyg_mpnn.data.dataset.RadiusGraph", None)
    monkeypatch.setattr("pyg_mpnn.data.frames.check_frame", None)
    part = dataset.subset([2, 0])
    assert [item.pos[1, 0].item() for item in part] == [3.0, 1.0]
    assert as_prepared(part, 5.0, torch.float32) is part
    again = part.with_edges(0)
    assert torch.equal(again.edge_index, part[0].edge_index)
    with pytest.raises(TypeError):
        as_prepared(part, 4.0, torch.float32)  # control: another cutoff needs other lists


def test_coincident_atoms_name_the_frame():
    triple = Data(z=torch.tensor([1, 1, 1]), pos=torch.tensor([[0.0, 0, 0], [0.0, 0, 0], [1.0, 0, 0]]))
    with pytest.raises(ValueError, match=r"frame 1: 'pos'"):
        StructureDataset([pair(), triple], 5.0)


def test_elements_must_be_integers():
    with pytest.raises(TypeError, match=r"'z' of frame 0 must hold integers, got torch.float32"):
        StructureDataset([Data(z=torch.tensor([1.0]), pos=torch.zeros(1, 3))], 5.0)


def test_empty_data_set_is_refused():
    with pytest.raises(ValueError, match=r"'frames' must hold at least one structure, got none: the data set is empty"):
        StructureDataset([], 5.0)


def test_bad_cutoff_is_refused():
    with pytest.raises(ValueError, match=r"'cutoff' must be positive"):
        StructureDataset([pair()], -1.0)


def test_cell_without_pbc_is_refused_beside_crystals_too():
    crystal = read_structures(SILICON)[0]
    open_ = Data(**{name: value for name, value in crystal.to_dict().items() if name != "pbc"})
    assert StructureDataset([crystal, crystal], 5.0)[1].num_edges > 0, "control"
    with pytest.raises(ValueError, match="'pbc' must be given with a cell, got a cell without it in frame 1"):
        StructureDataset([crystal, open_], 5.0)
