from __future__ import annotations

import hashlib

import numpy as np
import pytest

from pyg_mpnn.data import qm9_split, split_qm9


@pytest.mark.parametrize(
    ("n", "sizes"), [(130_831, (110_000, 10_000, 10_831)), (76_699, (64_487, 5_862, 6_350)), (96, (81, 7, 8))]
)
def test_parts_have_the_published_fractions_and_share_nothing(n, sizes):
    split = split_qm9(n)
    assert (len(split.train), len(split.valid), len(split.test)) == sizes
    order = split.train + split.valid + split.test
    assert sorted(order) == list(range(n))
    assert split.sha256 == hashlib.sha256(np.array(order, dtype="<i8").tobytes()).hexdigest()


def test_split_depends_on_the_seed_alone():
    assert split_qm9(1000, 1) == split_qm9(1000, 1)
    assert split_qm9(1000, 1).sha256 != split_qm9(1000, 2).sha256
    assert split_qm9(1000).train[:3] != sorted(split_qm9(1000).train[:3]), "in random order, for nested sets"


def test_known_splits_are_held_to_their_hash(monkeypatch):
    monkeypatch.setitem(qm9_split._DIGESTS, 76_699, "another")
    with pytest.raises(RuntimeError, match=r"the split of 76699 molecules must have the hash another, got 7e74eeda"):
        split_qm9(76_699)
    assert split_qm9(76_699, seed=1)


def test_too_few_molecules_are_an_error():
    with pytest.raises(ValueError, match=r"'n' must be at least 14, .*, got 5"):
        split_qm9(5)
