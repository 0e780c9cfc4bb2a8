"""How a declared symmetry carries through nonlinear functions."""

from __future__ import annotations

import itertools

import pytest

from pyg_mpnn.basis import nonlinear


def test_only_invariants_stay_invariant():
    for pair in itertools.product(("invariant", "equivariant", "unconstrained"), repeat=2):
        assert nonlinear(*pair) == ("invariant" if pair == ("invariant", "invariant") else "unconstrained")


def test_unknown_word(unchecked):
    with pytest.raises(ValueError, match=r"'inputs' must be among .* got 'even'"):
        nonlinear("invariant", "even")
