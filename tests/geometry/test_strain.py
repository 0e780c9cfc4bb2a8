from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from pyg_mpnn.geometry import apply_strain, edge_vectors, neighbor_list


@pytest.fixture
def crystals():
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


def test_edge_vectors_are_strained_like_the_cell(crystals):
    pos, cell, batch, edges = crystals
    strain = 0.1 * torch.randn(2, 3, 3, dtype=torch.float64)
    symmetric = 0.5 * (strain + strain.mT)
    vec = edge_vectors(pos, *edges, cell, batch)
    strained_pos, strained_cell = apply_strain(pos, cell, strain, batch)
    expected = vec + torch.stack([v @ symmetric[batch[i]] for v, i in zip(vec, edges.edge_index[1], strict=True)])
    torch.testing.assert_close(edge_vectors(strained_pos, *edges, strained_cell, batch), expected)


def test_derivative_equals_numerical_strain(crystals):
    pos, cell, batch, edges = crystals

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


def test_rotation_part_does_nothing(crystals):
    pos, cell, batch, _ = crystals
    strain = torch.randn(2, 3, 3, dtype=torch.float64)
    same_pos, same_cell = apply_strain(pos, cell, strain - strain.mT, batch)
    assert torch.equal(same_pos, pos)
    assert torch.equal(same_cell, cell)


def test_volume_changes_by_the_trace(crystals):
    pos, cell, batch, _ = crystals
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


def test_bad_input_is_an_error(unchecked, crystals):
    pos, cell, batch, _ = crystals
    strain = torch.zeros(2, 3, 3, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"'batch' must be given with several strains, got 2 strains"):
        apply_strain(pos, None, strain)
    with pytest.raises(ValueError, match=r"'strain' must hold one matrix per cell, got 2 strains for 1 cells"):
        apply_strain(pos, cell[:1], strain, batch)
