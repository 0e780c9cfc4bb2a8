from __future__ import annotations

import numpy as np
import pytest

from pyg_mpnn.geometry import as_cutoffs


@pytest.mark.parametrize("cutoff", [5, 5.0, np.float64(5.0), [5.0], (5.0,)])
def test_one_cutoff_in_any_form(cutoff):
    assert as_cutoffs(cutoff) == (5.0,)
    assert type(as_cutoffs(cutoff)[0]) is float


def test_numpy_float32_is_a_number(unchecked):
    assert as_cutoffs(np.float32(5.0)) == as_cutoffs([np.float32(5.0)]) == (5.0,)


@pytest.mark.parametrize(
    ("cutoff", "error", "message"),
    [
        ([], ValueError, r"'cutoff' must hold one to three radii, got 0"),
        ([1.0, 2.0, 3.0, 4.0], ValueError, r"'cutoff' must hold one to three radii, got 4"),
        ([5.0, 3.0], ValueError, r"'cutoff' must increase strictly, got \(5.0, 3.0\)"),
        ([3.0, 3.0], ValueError, r"'cutoff' must increase strictly, got \(3.0, 3.0\)"),
        ([0.0, 3.0], ValueError, r"'cutoff' must be positive and finite \(in A\), got 0.0"),
        ([3.0, float("inf")], ValueError, r"'cutoff' must be positive and finite \(in A\), got inf"),
        ("35", TypeError, r"'cutoff' must be a number \(in A\), got '35'"),
        ([None], TypeError, r"'cutoff' must be a number \(in A\), got None"),
    ],
)
def test_bad_cutoffs_are_an_error(unchecked, cutoff, error, message):
    with pytest.raises(error, match=message):
        as_cutoffs(cutoff)
