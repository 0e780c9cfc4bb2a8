from __future__ import annotations

import pytest

from pyg_mpnn.learning.exploration import begin_at


@pytest.mark.parametrize("starts", [1, 3, 4, 13, 20])
def test_dynamics_begin_all_over_the_start_structures(starts: int) -> None:
    """Of 20 structures along a path, each round begins in each quarter, and no start is left out in the end."""
    rounds = max(1, -(-starts // 4))
    begun = [[begin_at(place, number, starts) for place in range(4)] for number in range(1, rounds + 1)]
    assert {k for of in begun for k in of} == set(range(starts))
    for of in begun:
        assert len(set(of)) == min(4, starts)
        assert max(of) - min(of) >= starts // 2
