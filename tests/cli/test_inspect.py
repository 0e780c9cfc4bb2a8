from __future__ import annotations

import json
from pathlib import Path

import pytest

from pyg_mpnn.cli import main


def test_inspect_names_faults_and_ends_well(data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--test", data, "--cutoff", "3", "5", "--size", "small", "--batch-size", "2", "--steps", "1"]
    assert main(["inspect", "--data", data, *flags, "--json", str(tmp_path / "new" / "found.json")]) == 0
    assert "10 test frames are ALSO IN THE DATA" in " ".join(capsys.readouterr().out.split())
    assert json.loads((tmp_path / "new" / "found.json").read_text())["num_warnings"] == 1
    assert main(["inspect", "--data", "absent.xyz"]) == 1
    assert main(["inspect", "--data", data, "--steps", "-1"]) == 1
    assert "'steps' must not be negative, got -1" in capsys.readouterr().err
