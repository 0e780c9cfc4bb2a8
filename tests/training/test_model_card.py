from __future__ import annotations

import json
from pathlib import Path

from pyg_mpnn.training import Errors
from pyg_mpnn.training.model_card import package_versions, write_model_card

ERRORS = {"test": Errors(1, 9.0, 9.0, 1.0, 1.0, 20.0, 30.0)}


def test_card_says_the_same_in_both_formats(tmp_path: Path) -> None:
    card = {"data": {"sha256": "abc", "indices": list(range(20)), "scale": 1.23456789}, "warnings": ["mind the gap"]}
    write_model_card(tmp_path, card, ERRORS)
    read = json.loads((tmp_path / "model_card.json").read_text())
    assert read["data"] == card["data"]
    assert read["errors"]["test"]["forces_mae_meV_per_A"] == 20.0
    text = (tmp_path / "model_card.md").read_text()
    assert "- sha256: abc\n- indices: 0, 1, 2, 3, 4, 5, ... (20 in all, see model_card.json)\n- scale: 1.23457" in text
    assert "## warnings\n\n- mind the gap" in text
    assert "| forces MAE (meV/A) | 20.00 |" in text


def test_card_without_warnings_says_so(tmp_path: Path) -> None:
    write_model_card(tmp_path, {"warnings": []}, ERRORS)
    assert "## warnings\n\n- none\n" in (tmp_path / "model_card.md").read_text()


def test_versions_name_what_numbers_depend_on() -> None:
    versions = package_versions()
    assert {"python", "torch", "torch_geometric", "e3nn", "vesin", "lightning"} <= set(versions)
    assert versions["torch"][0].isdigit()
