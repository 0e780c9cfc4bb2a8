from __future__ import annotations

import pytest

from pyg_mpnn.data import ethanol, fit_reference
from pyg_mpnn.data.compositions import combines, independent

ETHANOL, WATER, METHANE = {1: 6, 6: 2, 8: 1}, {1: 2, 8: 1}, {1: 4, 6: 1}


@pytest.mark.parametrize(
    ("known", "composition", "expected"),
    [
        ([ETHANOL], ETHANOL, True),
        ([ETHANOL], {1: 18, 6: 6, 8: 3}, True),
        ([ETHANOL], WATER, False),
        ([ETHANOL], {1: 1}, False),
        ([ETHANOL, WATER], {1: 4, 6: 2}, True),  # ethylene: ethanol less water
        ([ETHANOL, WATER], METHANE, False),
        ([ETHANOL, WATER, METHANE], {1: 1}, True),
        ([{1: 1}, {6: 1}], WATER, False),  # an element that nothing is known of
        ([], WATER, False),
    ],
)
def test_combinations_are_told_from_others(known, composition, expected):
    assert combines(known, composition) == expected


def test_independent_ones_have_the_rank_of_all():
    assert independent([ETHANOL, {1: 12, 6: 4, 8: 2}, WATER, {1: 4, 6: 2}, METHANE]) == [ETHANOL, WATER, METHANE]
    assert independent([]) == []


def test_reference_knows_its_compositions():
    frames = ethanol("train")[:5]
    assert fit_reference(frames, 5.0).compositions == (ETHANOL,)
    given = fit_reference(frames, 5.0, {1: -13.6, 6: -1027.0, 8: -2040.0})
    assert given.compositions == ({1: 1}, {6: 1}, {8: 1}), "isolated atoms determine all"
    assert len(given.compositions) == given.rank
