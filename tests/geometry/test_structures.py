from __future__ import annotations

import itertools

import pytest
import torch

from pyg_mpnn.geometry import edge_vectors, neighbor_list
from pyg_mpnn.geometry.structures import check_structures, complete_cell


@pytest.mark.parametrize("pbc", list(itertools.product([True, False], repeat=3)))
@pytest.mark.parametrize("zeros", [True, False])
def test_completed_cell_is_orthogonal_to_the_periodic_vectors(pbc, zeros):
    pbc = torch.tensor([pbc])
    cell = torch.randn(1, 3, 3, dtype=torch.float64)
    complete = complete_cell(cell * pbc[..., None] if zeros else cell, pbc)[0]
    assert torch.equal(complete[pbc[0]], cell[0][pbc[0]])
    added = complete[~pbc[0]]
    torch.testing.assert_close(added @ added.T, torch.eye(len(added), dtype=torch.float64))
    torch.testing.assert_close(added @ complete[pbc[0]].T, torch.zeros(len(added), int(pbc.sum()), dtype=torch.float64))


@pytest.mark.parametrize("skew", [0.0, 30.0])
def test_margin_bounds_the_rounding_of_distances(skew):
    cell = torch.tensor([[3.1, 0.2, 0.1], [0.3 + skew * 3.1, 3.3, 0.2], [0.1, 0.4, 2.9]])
    pos, pbc = 50.0 * torch.rand(20, 3), torch.ones(3, dtype=torch.bool)
    edges = neighbor_list(pos, 4.0, cell=cell, pbc=pbc)
    single = edge_vectors(pos, *edges, cell).norm(dim=1)
    double = edge_vectors(pos.double(), *edges, cell.double()).norm(dim=1)
    error = float((single.double() - double).abs().max())
    assert 0.0 < error < check_structures(pos, None, None, cell, pbc).margin(4.0) < 0.5
