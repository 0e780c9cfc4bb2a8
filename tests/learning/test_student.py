from __future__ import annotations

from pyg_mpnn.learning.student import validates


def test_a_label_that_validates_once_validates_always() -> None:
    few, more = ([place for place in range(count) if validates(place)] for count in (20, 100))
    assert len(few) == 10
    assert more[:10] == few
    assert len(more) == 18
