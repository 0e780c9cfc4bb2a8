from __future__ import annotations

import pytest

from pyg_mpnn.models.parts import BASES, check_name


def test_other_names_are_refused():
    check_name("basis", "bessel", BASES)
    with pytest.raises(ValueError, match=r"'basis' must be one of \('bessel', 'gaussian', 'exp_normal'\), got 'sine'"):
        check_name("basis", "sine", BASES)
