from __future__ import annotations

import torch
from torch_geometric.data import Data

from pyg_mpnn.inspection import check_consistency, check_stress


def test_factor_is_one_on_clean_data(frames: list[Data]) -> None:
    found = check_consistency(frames)
    assert found.severity == "ok"
    assert abs(found.numbers["factor"] - 1) < 0.15


def test_too_few_near_frames_are_no_verdict(frames: list[Data]) -> None:
    assert check_consistency(frames[:4]).finding.startswith("Cannot tell: ")


def test_an_energy_that_a_near_frame_contradicts(frames: list[Data]) -> None:
    spoilt = [frame.clone() for frame in frames]
    twin = spoilt[40].clone()
    twin.pos = twin.pos + 1e-3 * torch.randn_like(twin.pos)
    twin.energy = twin.energy + 3.0
    found = check_consistency([*spoilt, twin])
    assert found.severity == "warning"
    assert "between frames 40 and 300, which are near" in found.finding


def test_without_forces() -> None:
    bare = Data(z=torch.tensor([1]), pos=torch.zeros(1, 3), energy=torch.zeros(1))
    assert check_consistency([bare]).finding == "Cannot tell: there are no forces."


def test_stress_factor_is_one_on_clean_data(copper: list[Data]) -> None:
    found = check_stress(copper)
    assert found.severity == "ok"
    assert abs(found.numbers["factor"] - 1) < 0.1


def test_cells_that_are_all_alike_are_no_verdict(copper: list[Data]) -> None:
    assert check_stress(copper[::2]).finding.startswith("Cannot tell: 0 pairs of crystals differ mainly by a strain")


def test_unknown_stress_is_not_judged(copper: list[Data]) -> None:
    unknown = copper[0].clone()
    unknown.stress = torch.full_like(unknown.stress, torch.nan)
    assert check_stress([unknown]).finding == "There is no stress to check."


def test_stresses_that_disagree_with_the_energies_are_told(copper: list[Data]) -> None:
    """As with a small plane-wave cutoff: a pressure beside the derivative of the energies."""
    pulay = [frame.clone() for frame in copper]
    for frame in pulay:
        frame.stress = frame.stress + 0.03 * torch.eye(3, dtype=frame.stress.dtype)
    found = check_stress(pulay)
    assert "do not agree" in found.finding
    assert found.severity == "note"
