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


def test_report_never_replaces_a_file_that_is_read(
    trained: Path, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {path: path.read_bytes() for path in (Path(data), trained / "best.ckpt")}
    model, out = str(trained / "best.ckpt"), "'json' must not be a file that is read"
    for command in (
        ["inspect", "--data", "ethanol", "--test", data, "--json", data],
        ["evaluate", "--model", model, "--data", data, "--json", data],
        ["evaluate", "--model", model, "--data", data, "--json", model],
        ["check", "--model", model, "--structures", data, "--json", model],
    ):
        assert main(command) == 1
        assert out in capsys.readouterr().err
    assert main(["check", "--model", model, "--structures", data, "--picture", data]) == 1
    assert "'picture' must not be a file that is read" in capsys.readouterr().err
    assert all(path.read_bytes() == content for path, content in files.items())
