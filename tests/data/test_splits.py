from __future__ import annotations

import pytest

from pyg_mpnn.data import split_frames


@pytest.mark.parametrize(("n", "valid_size"), [(1, 0), (10, 3), (1000, 50)])
def test_split_uses_each_frame_once(n, valid_size):
    train, valid = split_frames(n, valid_size, seed=3)
    assert sorted(train + valid) == list(range(n))
    assert len(valid) == valid_size


def test_split_follows_the_seed():
    assert split_frames(1000, 50, seed=1) == split_frames(1000, 50, seed=1)
    assert split_frames(1000, 50, seed=1) != split_frames(1000, 50, seed=2)


def test_split_is_the_same_on_every_machine():
    # golden value: a change would silently mix training and validation frames of older runs
    assert split_frames(12, 4, seed=7) == ([0, 1, 2, 5, 7, 8, 9, 10], [3, 4, 6, 11])


@pytest.mark.parametrize("valid_size", [-1, 10, 11])
def test_split_refuses_a_bad_validation_size(valid_size):
    with pytest.raises(ValueError, match=rf"'valid_size' must be at least 0 and below .*\(10\), got {valid_size}"):
        split_frames(10, valid_size, seed=0)


def test_split_refuses_an_empty_data_set():
    with pytest.raises(ValueError, match=r"'n' must be at least 1, got 0: the data set is empty"):
        split_frames(0, 0, seed=0)
