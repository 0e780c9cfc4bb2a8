from __future__ import annotations

import pytest
import torch

from pyg_mpnn.geometry import SkinList, edge_vectors, neighbor_list


def assert_fresh(skin_list, pos, cell=None, pbc=None):
    found = skin_list(pos, cell, pbc)
    expected = neighbor_list(pos, skin_list.cutoff, cell=cell, pbc=pbc, backend=skin_list.backend)
    assert torch.equal(found.edge_index, expected.edge_index)
    assert torch.equal(found.shifts, expected.shifts)
    # Same edges, so the same bits in all that follows
    one, other = (edge_vectors(pos, *edges, cell) for edges in (found, expected))
    assert torch.equal(one, other)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("pbc", [None, [True, True, True], [True, False, False]])
@pytest.mark.parametrize("backend", ["auto", "torch"])
def test_identical_to_a_fresh_list_along_a_trajectory(dtype, pbc, backend):
    torch.manual_seed(0)
    cell = None if pbc is None else (5.0 * torch.eye(3) + torch.rand(3, 3)).to(dtype)
    pbc = None if pbc is None else torch.tensor(pbc)
    pos = 6.0 * torch.rand(24, 3, dtype=dtype)
    velocity = 0.02 * torch.randn(24, 3, dtype=dtype)
    skin_list = SkinList(3.0, skin=0.6, backend=backend)
    for _ in range(60):
        assert_fresh(skin_list, pos, cell, pbc)
        pos = pos + velocity
        velocity = velocity + 0.002 * torch.randn(24, 3, dtype=dtype)
    assert 3 <= skin_list.num_rebuilds <= 20


def test_searches_exactly_when_half_the_skin_is_used_up():
    torch.manual_seed(0)
    start = 4.0 * torch.rand(8, 3, dtype=torch.float64)
    skin_list, rebuilds = SkinList(2.0, skin=1.0), []
    for move in (0.0, 0.3, 0.49, -0.49, 0.51, 0.51, 0.75):
        pos = start.clone()
        pos[3, 1] += move
        assert_fresh(skin_list, pos)
        rebuilds.append(skin_list.num_rebuilds)
    assert rebuilds == [1, 1, 1, 1, 2, 2, 2]


def test_two_atoms_that_approach_are_found_in_time():
    skin_list = SkinList(2.0, skin=0.5)
    for gap in torch.linspace(3.5, 1.0, 60, dtype=torch.float64):
        pos = torch.tensor([[0.0, 0, 0], [0.0, 0, 0]], dtype=torch.float64)
        pos[:, 0] = torch.stack([-gap / 2, gap / 2])
        assert_fresh(skin_list, pos)


def test_a_moved_input_tensor_is_noticed():
    pos = torch.tensor([[0.0, 0, 0], [5.0, 0, 0]])
    skin_list = SkinList(2.0)
    skin_list(pos)
    pos[1, 0] = 1.0  # in place, as ASE does
    assert_fresh(skin_list, pos)


def test_no_skin_searches_every_time():
    skin_list, pos = SkinList(2.0, skin=0.0), torch.tensor([[0.0, 0, 0], [1.0, 0, 0]])
    for _ in range(3):
        assert_fresh(skin_list, pos)
    assert skin_list.num_rebuilds == 3


def test_changes_other_than_motion_start_a_search():
    torch.manual_seed(0)
    pos, cell, pbc = 4.0 * torch.rand(6, 3), 4.0 * torch.eye(3), torch.tensor([True, True, True])
    skin_list = SkinList(2.5)
    for number, arguments in enumerate(
        [
            (pos,),
            (pos, cell, pbc),
            (pos, cell[None], pbc[None]),
            (pos, 1.01 * cell, pbc),
            (pos, 1.01 * cell, torch.tensor([True, True, False])),
            (pos[:5], 1.01 * cell, torch.tensor([True, True, False])),
            (pos[:5].double(), 1.01 * cell, torch.tensor([True, True, False])),
            (pos[:0],),
        ],
        start=1,
    ):
        for _ in range(2):
            assert_fresh(skin_list, *arguments)
            assert skin_list.num_rebuilds == number


def test_no_atoms():
    skin_list = SkinList(2.0)
    assert skin_list(torch.zeros(0, 3)).edge_index.shape == (2, 0)
    assert skin_list(torch.zeros(0, 3)).edge_index.shape == (2, 0)


def test_repr_names_the_sizes():
    assert repr(SkinList(5.0, 0.3, "vesin")) == "SkinList(cutoff=5.0, skin=0.3, backend='vesin')"


def test_bad_input_is_an_error(unchecked):
    with pytest.raises(ValueError, match=r"'cutoff' must be positive and finite \(in A\), got -1.0"):
        SkinList(-1.0)
    with pytest.raises(ValueError, match=r"'cutoff' must be a single radius"):
        SkinList([3.0, 5.0])
    for skin in (-0.1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"'skin' must be at least 0 and finite \(in A\), got"):
            SkinList(5.0, skin)


def test_errors_of_the_search_come_through_and_leave_it_usable():
    pos = torch.tensor([[0.0, 0, 0], [1.0, 0, 0]])
    skin_list = SkinList(2.0)
    assert_fresh(skin_list, pos)
    with pytest.raises(ValueError, match=r"'pos' must be finite, got .* for atom 1"):
        skin_list(torch.tensor([[0.0, 0, 0], [float("nan"), 0, 0]]))
    with pytest.raises(ValueError, match=r"coincident atoms, got atoms 0 and 1"):
        skin_list(torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"coincident atoms, got atoms 0 and 1"):
        SkinList(2.0, skin=4.0)(pos - pos)
    assert_fresh(skin_list, pos)
