"""Each law of symmetry passes for a function that obeys it and catches one that does not."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Data

from pyg_mpnn.testing import (
    assert_inversion_law,
    assert_permutation_law,
    assert_rotation_law,
    assert_translation_law,
    wigner_matrix,
)

VECTOR = torch.tensor([1, 1, 1])


def distances(data):
    """Invariant, one row an atom: sum of exp(-distance) to the others, weighted by their elements."""
    dist = (data.pos.unsqueeze(0) - data.pos.unsqueeze(1)).square().sum(dim=-1)
    return torch.exp(-dist) @ data.z.to(data.pos)


def dipole(data):
    """Equivariant: (1, 3)."""
    center = data.pos.mean(dim=0)
    return (data.z.to(data.pos) @ (data.pos - center)).unsqueeze(0)


def with_edges(data):
    pairs = (~torch.eye(data.num_nodes, dtype=torch.bool)).nonzero()[::2]
    return Data(z=data.z, pos=data.pos, edge_index=pairs.T, edge_weight=torch.rand(len(pairs)))


def edge_lengths(data):
    j, i = data.edge_index
    return (data.pos[j] - data.pos[i]).norm(dim=-1) * data.edge_weight


def test_laws_hold_for_functions_that_obey_them(chiral, dtype):
    for law in (assert_translation_law, assert_rotation_law, assert_inversion_law):
        law(distances, chiral)
    for law in (assert_rotation_law, assert_inversion_law):
        law(dipole, chiral, VECTOR)
    assert_permutation_law(distances, chiral, "nodes")
    assert_permutation_law(lambda data: distances(data).sum(dim=0, keepdim=True), chiral, "graphs")
    assert_permutation_law(edge_lengths, with_edges(chiral), "edges")


def test_cell_is_rotated_too(silicon, dtype):
    def volume_and_heights(data):
        fraction = (data.pos[1] - data.pos[0]) @ torch.linalg.inv(data.cell[0])
        return torch.cat([fraction, torch.linalg.det(data.cell).abs()])

    assert_rotation_law(volume_and_heights, silicon)
    assert_inversion_law(volume_and_heights, silicon)


@pytest.mark.parametrize(
    ("law", "broken"),
    [
        (assert_translation_law, lambda data: data.pos.norm(dim=-1)),
        (assert_rotation_law, lambda data: data.pos[:, 0]),
        (assert_rotation_law, lambda data: distances(data) + 1e-3 * (data.pos[1] - data.pos[0])[0]),
        (assert_inversion_law, lambda data: torch.linalg.det(data.pos[1:4] - data.pos[0]).unsqueeze(0)),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float64], indirect=True)
def test_invariance_laws_catch(law, broken, chiral, dtype):
    with pytest.raises(AssertionError, match="law broken"):
        law(broken, chiral)


def test_chirality_is_a_matter_of_inversion_only(chiral):
    """Rotation passes what inversion catches."""
    assert_rotation_law(lambda data: torch.linalg.det(data.pos[1:4] - data.pos[0]).unsqueeze(0), chiral)


@pytest.mark.parametrize("broken", [lambda data: dipole(data).abs(), lambda data: dipole(data).roll(1, dims=1)])
def test_equivariance_law_catches(broken, chiral):
    with pytest.raises(AssertionError, match="rotation law broken"):
        assert_rotation_law(broken, chiral, VECTOR)


def test_wrong_parity_is_caught_by_inversion(chiral):
    def pseudovector(data):
        return torch.linalg.cross(data.pos[1] - data.pos[0], data.pos[2] - data.pos[0]).unsqueeze(0)

    assert_rotation_law(pseudovector, chiral, VECTOR)
    with pytest.raises(AssertionError, match="inversion law broken"):
        assert_inversion_law(pseudovector, chiral, VECTOR)


def test_permutation_law_catches(chiral):
    with pytest.raises(AssertionError, match="permutation law broken"):
        assert_permutation_law(lambda data: distances(data) * torch.arange(data.num_nodes), chiral, "nodes")
    with pytest.raises(AssertionError, match="permutation law broken"):  # the first edges only, as a capped list has
        assert_permutation_law(
            lambda data: edge_lengths(data)[:5].sum(dim=0, keepdim=True), with_edges(chiral), "graphs"
        )
    with pytest.raises(AssertionError, match="permutation law broken"):
        assert_permutation_law(lambda data: edge_lengths(data).cumsum(0), with_edges(chiral), "edges")


def test_permutation_of_edges_needs_edges(chiral):
    with pytest.raises(ValueError, match="'data' must hold 'edge_index' for a result on edges"):
        assert_permutation_law(distances, chiral, "edges")


def test_wigner_matrices_are_a_representation(dtype):
    degrees = torch.tensor([0] + [1] * 3 + [2] * 5)
    first, second = (torch.linalg.qr(torch.randn(3, 3))[0] for _ in range(2))
    product = wigner_matrix(degrees, first) @ wigner_matrix(degrees, second)
    torch.testing.assert_close(product, wigner_matrix(degrees, first @ second), rtol=0.0, atol=1e-5)
    torch.testing.assert_close(wigner_matrix(VECTOR, first), first, rtol=0.0, atol=1e-5)
