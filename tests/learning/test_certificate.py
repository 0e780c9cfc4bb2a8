from __future__ import annotations

from pyg_mpnn.learning.certificate import beginning_of


def test_dynamics_from_one_of_several_starts_says_which() -> None:
    state = {"settings": {"starts": ["a", "b", "c"]}, "rounds": [{"round": number} for number in range(5)]}
    (told,) = beginning_of(state)
    assert "start structure 1 of 0 to 2" in told
    assert beginning_of({**state, "settings": {"starts": ["a"]}}) == []
