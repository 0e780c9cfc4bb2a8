from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from pyg_mpnn.geometry import apply_strain, edge_vectors, neighbor_list


@pytest.fixture
def crystals():
    """Two periodic structures in one batch: pos, edge_index, shifts, cell, batch."""
    torch.manual_seed(0)
    pos, batch = 4.0 * torch.rand(7, 3, dtype=torch.float64), torch.tensor([0, 0, 0, 0, 1, 1, 1])
    cell = 3.0 * torch.eye(3, dtype=torch.float64) + 0.5 * torch.randn(2, 3, 3, dtype=torch.float64)
    pbc = torch.tensor([[True, True, True], [True, False, True]])
    edge_index, shifts = neighbor_list(pos, 2.5, batch=batch, cell=cell, pbc=pbc)
    assert shifts.any()
    return pos, edge_index, shifts, cell, batch


def test_vectors_equal_the_formula(crystals):
    pos, edge_index, shifts, cell, batch = crystals
    vec = edge_vectors(pos, edge_index, shifts, cell, batch)
    for edge, (j, i) in enumerate(edge_index.t().tolist()):
        expected = pos[j] + shifts[edge].double() @ cell[batch[i]] - pos[i]
        torch.testing.assert_close(vec[edge], expected)
    assert (vec.norm(dim=1) < 2.5).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_reversed_edges_have_exactly_opposite_vectors(crystals, dtype):
    pos, edge_index, shifts, cell, batch = crystals
    vec = edge_vectors(pos.to(dtype), edge_index, shifts, cell, batch)
    assert vec.dtype == dtype
    assert torch.equal(vec, -edge_vectors(pos.to(dtype), edge_index.flip(0), -shifts, cell, batch))


def test_batch_equals_separate_structures(crystals):
    pos, edge_index, shifts, cell, batch = crystals
    vec = edge_vectors(pos, edge_index, shifts, cell, batch)
    second = edge_index[0] >= 4
    for one in (cell[1], cell[1:]):
        alone = edge_vectors(pos[4:], edge_index[:, second] - 4, shifts[second], one)
        assert torch.equal(vec[second], alone)


def test_gradients_in_positions_and_cell(crystals):
    pos, edge_index, shifts, cell, batch = crystals
    few = slice(None, None, 9)

    def cubed(pos, cell):
        return edge_vectors(pos, edge_index[:, few], shifts[few], cell, batch) ** 3

    inputs = (pos.requires_grad_(), cell.requires_grad_())
    assert gradcheck(cubed, inputs)
    assert gradgradcheck(cubed, inputs)


def test_molecules_need_no_cell():
    pos = torch.tensor([[0.0, 0, 0], [1.0, 2.0, 3.0]])
    edge_index = torch.tensor([[1, 0], [0, 1]])
    expected = torch.tensor([[1.0, 2.0, 3.0], [-1.0, -2.0, -3.0]])
    assert torch.equal(edge_vectors(pos, edge_index), expected)
    assert torch.equal(edge_vectors(pos, edge_index, torch.zeros(2, 3, dtype=torch.long)), expected)


def test_no_edges():
    none = torch.zeros(2, 0, dtype=torch.long)
    assert edge_vectors(torch.zeros(0, 3), none, none.new_zeros(0, 3), torch.zeros(1, 3, 3)).shape == (0, 3)


def test_compiled_without_graph_breaks_agrees(unchecked, crystals):
    compiled = torch.compile(edge_vectors, fullgraph=True, backend="eager")
    assert torch.equal(compiled(*crystals), edge_vectors(*crystals))


def test_bad_input_is_an_error(unchecked, crystals):
    pos, edge_index, shifts, cell, _ = crystals
    with pytest.raises(ValueError, match=r"'cell' must be given with shifts that are not zero, got None"):
        edge_vectors(pos, edge_index, shifts)
    with pytest.raises(ValueError, match=r"'shifts' must be given with a cell, got None"):
        edge_vectors(pos, edge_index, cell=cell)
    with pytest.raises(ValueError, match=r"'batch' must be given with several cells, got 2 cells and no batch"):
        edge_vectors(pos, edge_index, shifts, cell)


@pytest.fixture
def crystals_strain():
    torch.manual_seed(0)
    pos, batch = 4.0 * torch.rand(6, 3, dtype=torch.float64), torch.tensor([0, 0, 0, 0, 1, 1])
    cell = 4.0 * torch.eye(3, dtype=torch.float64) + 0.5 * torch.randn(2, 3, 3, dtype=torch.float64)
    pbc = torch.ones(2, 3, dtype=torch.bool)
    return pos, cell, batch, neighbor_list(pos, 3.5, batch=batch, cell=cell, pbc=pbc)


def pair_energy(pos, cell, batch, edges):
    vec = edge_vectors(pos, *edges, cell, batch)
    return (
        torch.exp(-vec.square().sum(1))
        .new_zeros(2)
        .index_add(0, batch[edges.edge_index[1]], torch.exp(-vec.square().sum(1)))
    )


def test_edge_vectors_are_strained_like_the_cell(crystals_strain):
    pos, cell, batch, edges = crystals_strain
    strain = 0.1 * torch.randn(2, 3, 3, dtype=torch.float64)
    symmetric = 0.5 * (strain + strain.mT)
    vec = edge_vectors(pos, *edges, cell, batch)
    strained_pos, strained_cell = apply_strain(pos, cell, strain, batch)
    expected = vec + torch.stack([v @ symmetric[batch[i]] for v, i in zip(vec, edges.edge_index[1], strict=True)])
    torch.testing.assert_close(edge_vectors(strained_pos, *edges, strained_cell, batch), expected)


def test_derivative_equals_numerical_strain(crystals_strain):
    pos, cell, batch, edges = crystals_strain

    def energy(strain):
        return pair_energy(*apply_strain(pos, cell, strain, batch), batch, edges)

    zero = torch.zeros(2, 3, 3, dtype=torch.float64, requires_grad=True)
    assert gradcheck(energy, (zero,))
    assert gradgradcheck(energy, (zero,))
    (gradient,) = torch.autograd.grad(energy(zero).sum(), zero)
    assert torch.equal(gradient, gradient.mT)
    # By hand, without apply_strain: shear the first crystal by a step along the xy component
    step, shear = 1e-5, torch.zeros(3, 3, dtype=torch.float64)
    shear[0, 1] = shear[1, 0] = 0.5 * step
    side = []
    for sign in (1, -1):
        deform = torch.eye(3, dtype=torch.float64) + sign * shear
        side.append(pair_energy(pos @ deform, cell @ deform, batch, edges)[0])
    torch.testing.assert_close(gradient[0, 0, 1], (side[0] - side[1]) / (2 * step), rtol=1e-7, atol=1e-9)
    assert abs(gradient[0, 0, 1]) > 1e-3  # a control: there is something to compare


def test_rotation_part_does_nothing(crystals_strain):
    pos, cell, batch, _ = crystals_strain
    strain = torch.randn(2, 3, 3, dtype=torch.float64)
    same_pos, same_cell = apply_strain(pos, cell, strain - strain.mT, batch)
    assert torch.equal(same_pos, pos)
    assert torch.equal(same_cell, cell)


def test_volume_changes_by_the_trace(crystals_strain):
    pos, cell, batch, _ = crystals_strain
    strain = torch.zeros(2, 3, 3, dtype=torch.float64, requires_grad=True)
    volume = torch.linalg.det(apply_strain(pos, cell, strain, batch)[1]).log().sum()
    (gradient,) = torch.autograd.grad(volume, strain)
    torch.testing.assert_close(gradient, torch.eye(3, dtype=torch.float64).expand(2, 3, 3))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_single_molecule(dtype):
    pos = torch.tensor([[1.0, 2.0, 3.0]], dtype=dtype)
    strained, cell = apply_strain(pos, None, torch.eye(3, dtype=dtype)[None])
    assert cell is None
    assert torch.equal(strained, 2.0 * pos)


def test_strain_bad_input_is_an_error(unchecked, crystals_strain):
    pos, cell, batch, _ = crystals_strain
    strain = torch.zeros(2, 3, 3, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"'batch' must be given with several strains, got 2 strains"):
        apply_strain(pos, None, strain)
    with pytest.raises(ValueError, match=r"'strain' must hold one matrix per cell, got 2 strains for 1 cells"):
        apply_strain(pos, cell[:1], strain, batch)
