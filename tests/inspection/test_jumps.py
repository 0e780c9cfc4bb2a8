from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Data

from pyg_mpnn.data import ethanol
from pyg_mpnn.inspection import check_jumps


def crystals(offset: float, shifted: range) -> list[Data]:
    """Copper, with another pseudopotential in some frames."""
    noise = torch.randn(20, generator=torch.Generator().manual_seed(0)).double() * 0.01
    return [
        Data(z=torch.full((4,), 29), energy=4 * (noise[k : k + 1] - 3.7 + (offset if k in shifted else 0.0)))
        for k in range(20)
    ]


def test_two_groups_of_energies_are_named() -> None:
    found = check_jumps(crystals(0.5, range(12, 16)))
    assert found.severity == "warning"
    assert "4 of 20 frames of Cu (frames 12, 13, 14, 15) by 0.4" in found.finding
    assert found.numbers["frames"] == {"Cu": [12, 13, 14, 15]}


@pytest.mark.parametrize(("offset", "shifted"), [(0.0, range(0)), (0.05, range(12, 16)), (0.5, range(12, 14))])
def test_scatter_small_steps_and_single_frames_are_no_jump(offset: float, shifted: range) -> None:
    assert check_jumps(crystals(offset, shifted)).severity == "ok"


def test_real_structures_have_none() -> None:
    assert check_jumps(ethanol("train")[:300]).severity == "ok"
