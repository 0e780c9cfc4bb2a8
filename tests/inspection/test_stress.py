from __future__ import annotations

import torch
from torch_geometric.data import Data

from pyg_mpnn.inspection import check_stress


def test_factor_is_one_on_clean_data(copper: list[Data]) -> None:
    found = check_stress(copper)
    assert found.severity == "ok"
    assert abs(found.numbers["factor"] - 1) < 0.1


def test_cells_that_are_all_alike_are_no_verdict(copper: list[Data]) -> None:
    assert check_stress(copper[::2]).finding.startswith("Cannot tell: 0 pairs of crystals differ mainly by a strain")


def test_unknown_stress_is_not_judged(copper: list[Data]) -> None:
    unknown = copper[0].clone()
    unknown.stress = torch.full_like(unknown.stress, torch.nan)
    assert check_stress([unknown]).finding == "There is no stress to check."
