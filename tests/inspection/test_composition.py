from __future__ import annotations

from torch_geometric.data import Data

from pyg_mpnn.inspection import check_composition


def test_one_molecule_has_rank_one(frames: list[Data], copper: list[Data]) -> None:
    found = check_composition(frames[:2])
    assert found.severity == "note"
    assert found.numbers["rank"] == 1
    assert found.numbers["elements"] == ["H", "C", "O"]
    assert found.numbers["compositions"] == {"C2H6O": 2}
    both = check_composition([frames[0], copper[0]])
    assert both.numbers["rank"] == 2
    assert "2 structures (1 periodic) of 9 to 32 atoms, 2 compositions" in both.finding
