from __future__ import annotations

from typing import get_args

import pytest

from pyg_mpnn.models.parts import ATTENTIONS, BASES, ENVELOPES, AttentionKind, Basis, Envelope, check_name


def test_names_of_the_types_are_those_of_the_tables():
    for table, names in ((BASES, Basis), (ENVELOPES, Envelope), (ATTENTIONS, AttentionKind)):
        assert tuple(table) == get_args(names)


def test_other_names_are_refused():
    check_name("basis", "bessel", BASES)
    with pytest.raises(ValueError, match=r"'basis' must be one of \('bessel', 'gaussian', 'exp_normal'\), got 'sine'"):
        check_name("basis", "sine", BASES)
