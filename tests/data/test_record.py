from __future__ import annotations

import torch
from torch_geometric.data import Data

from pyg_mpnn.data import StructureDataset, ethanol, shortest_distances
from pyg_mpnn.data.record import kept_distances, kept_structures, kept_volumes, make_record


def of(z: list[int], x: float = 1.0) -> Data:
    pos = torch.zeros(len(z), 3)
    pos[:, 0] = x * torch.arange(len(z))
    return Data(z=torch.tensor(z), pos=pos, energy=torch.zeros(1), forces=torch.zeros(len(z), 3))


def test_what_is_kept_comes_back(unchecked: None) -> None:
    train = StructureDataset(ethanol("train")[:10], cutoff=5.0)
    distances = shortest_distances(train, 5.0)
    record = make_record(train, distances, [{"labels": {"energy": of}} for of in ("E in 9", "e in 2", "E in 1")])
    assert kept_distances(record) == distances
    assert record["units"]["stress"] == "eV/A^3"
    assert record["labels"] == {"energy": "E in 10; e in 2"}
    frames = kept_structures(record)
    assert len(frames) == 4
    assert torch.equal(frames[0].pos, train.structures[0].pos.double())
    assert kept_structures({}) == []
    assert kept_distances({}) == {}


def test_small_structures_with_all_elements_are_kept(unchecked: None) -> None:
    frames = [of([6] * 9), *(of([6, 1], 1.0 + 0.01 * k) for k in range(9)), of([8, 8, 8])]
    kept = kept_structures(make_record(StructureDataset(frames, cutoff=5.0), {}, []))
    assert len(kept) == 4
    assert {z for frame in kept for z in frame.z.tolist()} == {1, 6, 8}
    assert max(len(frame.z) for frame in kept) == 3


def test_cells_are_kept(unchecked: None) -> None:
    frame = of([14, 14])
    frame.cell, frame.pbc = 4.0 * torch.eye(3)[None], torch.tensor([[True, True, False]])
    (kept,) = kept_structures(make_record(StructureDataset([frame], cutoff=3.0), {}, []))
    assert torch.equal(kept.cell, frame.cell.double())
    assert torch.equal(kept.pbc, frame.pbc)


def test_volumes_per_atom_are_kept_by_elements(unchecked: None) -> None:
    def box(z: list[int], length: float, pbc: bool = True) -> Data:
        frame = of(z)
        frame.cell, frame.pbc = length * torch.eye(3)[None], torch.tensor([[True, True, pbc]])
        return frame

    frames = [
        box([14, 14], 20.0),
        box([14], 6.5),
        box([14, 14], 4.0),
        box([14], 3.0),
        box([14, 8], 4.0),
        box([14], 9.0, pbc=False),
        of([14, 14]),
    ]
    record = make_record(StructureDataset(frames, cutoff=3.0), {}, [])
    volumes = kept_volumes(record)
    assert volumes is not None
    assert {z: tuple(round(value, 6) for value in of) for z, of in volumes.items()} == {
        (8, 14): (32.0, 32.0),
        (14,): (27.0, 32.0),
    }
    assert kept_volumes({}) is None
