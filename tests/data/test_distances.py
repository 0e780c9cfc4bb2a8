from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Data

from pyg_mpnn.data import ethanol, shortest_distances


def test_distances_are_those_of_all_pairs_by_hand():
    frames = ethanol("train")[:3]
    expected: dict[tuple[int, int], float] = {}
    for frame in frames:
        for i in range(9):
            for j in range(i):
                pair = tuple(sorted((int(frame.z[i]), int(frame.z[j]))))
                dist = float((frame.pos[i].double() - frame.pos[j].double()).norm())
                expected[pair] = min(dist, expected.get(pair, 9.0))
    assert shortest_distances(frames, cutoff=6.0) == pytest.approx(expected)
    near = shortest_distances(frames, cutoff=1.3)
    assert near == pytest.approx({pair: dist for pair, dist in expected.items() if dist < 1.3})
    assert (1, 1) not in near


def test_images_count():
    cell = torch.diag(torch.tensor([3.0, 9.0, 9.0]))[None]
    chain = Data(z=torch.tensor([14, 8]), pos=torch.tensor([[0.0] * 3, [2.0, 0.0, 0.0]]), cell=cell)
    chain.pbc = torch.ones(1, 3, dtype=torch.bool)
    assert shortest_distances([chain], cutoff=4.0) == pytest.approx({(8, 14): 1.0, (14, 14): 3.0, (8, 8): 3.0})


def test_no_frames_are_an_error():
    with pytest.raises(ValueError, match="'frames' must hold at least one structure, got none"):
        shortest_distances([], cutoff=4.0)
