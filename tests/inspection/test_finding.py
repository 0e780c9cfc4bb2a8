from __future__ import annotations

from pyg_mpnn.inspection import Finding


def test_finding_is_one_line() -> None:
    assert str(Finding("outliers", "ok", "None.")) == "ok      outliers: None."
