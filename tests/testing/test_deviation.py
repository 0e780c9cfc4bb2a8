"""The measure of the laws: how far two results are apart."""

from __future__ import annotations

import math

import pytest
import torch

from pyg_mpnn.testing import deviation, require


@pytest.mark.parametrize(
    ("actual", "expected", "result"),
    [
        ([1.0, 4.0], [1.0, 5.0], 0.2),
        ([1e-3], [0.0], 1e-3),
        ([], [], 0.0),
        ([math.nan], [math.nan], math.inf),
        ([1.0], [math.inf], math.inf),
        ([1.0, 1.0], [1.0], math.inf),
    ],
)
def test_deviation(actual, expected, result):
    assert deviation(torch.tensor(actual), torch.tensor(expected)) == pytest.approx(result)


def test_tolerance_follows_the_dtype(dtype):
    one = torch.ones(1)
    allowed = 1e-10 if dtype == torch.float64 else 1e-4
    assert require("law", one + 0.5 * allowed, one) > 0.0
    with pytest.raises(AssertionError, match=r"one law broken: relative deviation .*, allowed"):
        require("one law", one + 2.0 * allowed, one)


def test_shapes_are_in_the_message():
    with pytest.raises(AssertionError, match=r"shapes \(2,\) and \(3,\)"):
        require("law", torch.ones(2), torch.ones(3))
