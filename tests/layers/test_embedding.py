"""AtomEmbedding: one learned vector for each element."""

from __future__ import annotations

import pytest
import torch

from pyg_mpnn import AtomEmbedding
from pyg_mpnn.testing import assert_copies_law, assert_reset_law


def test_atoms_of_one_element_share_a_learned_vector(dtype):
    embedding = AtomEmbedding(8)
    x = embedding(torch.tensor([1, 6, 1, 118]))
    assert x.dtype == dtype
    assert torch.equal(x[0], x[2])
    assert not torch.equal(x[0], x[1])
    (gradient,) = torch.autograd.grad(x.sum(), embedding.parameters())
    assert gradient.sum(dim=1).sort(descending=True).values[:4].tolist() == [16.0, 8.0, 8.0, 0.0]


def test_first_and_last_element_are_in_the_table():
    assert AtomEmbedding(2)(torch.tensor([1, 118])).isfinite().all()


@pytest.mark.parametrize("z", [0, 119])
def test_no_element_is_an_error(z):
    with pytest.raises(IndexError):
        AtomEmbedding(2)(torch.tensor([z]))


def test_vectors_start_standard_normal():
    x = AtomEmbedding(64)(torch.arange(1, 119)).detach()
    assert abs(x.mean()) < 0.05
    assert abs(x.std() - 1.0) < 0.05


def test_no_atoms():
    assert AtomEmbedding(3)(torch.zeros(0, dtype=torch.long)).shape == (0, 3)


def test_copies_reset_and_repr():
    assert_copies_law(lambda: AtomEmbedding(3), lambda module: module(torch.tensor([1, 8])))
    assert_reset_law(AtomEmbedding(3))
    assert repr(AtomEmbedding(3)) == "AtomEmbedding(3)"


def test_width_must_be_positive():
    with pytest.raises(ValueError, match="'hidden_channels' must be at least 1, got 0"):
        AtomEmbedding(0)
