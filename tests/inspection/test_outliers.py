from __future__ import annotations

from torch_geometric.data import Data

from pyg_mpnn.inspection import check_outliers


def test_steep_places_are_only_noted(frames: list[Data]) -> None:
    steep = [frame.clone() for frame in frames]
    steep[5].energy, steep[5].forces = steep[5].energy + 20.0, steep[5].forces * 20
    found = check_outliers(steep)
    assert found.severity == "note"
    assert found.numbers["frames_with_odd_energy"] == [5]


def test_low_energies_are_never_steep(frames: list[Data]) -> None:
    deep = [frame.clone() for frame in frames]
    deep[5].energy, deep[5].forces = deep[5].energy - 20.0, deep[5].forces * 20
    assert "frame 5 (-2.2" in check_outliers(deep).finding


def test_few_frames(frames: list[Data]) -> None:
    assert check_outliers(frames[:19]).finding == "Cannot tell: 19 frames, 20 are needed."
