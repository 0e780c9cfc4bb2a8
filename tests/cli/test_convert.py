from __future__ import annotations

from pathlib import Path

import pytest

from pyg_mpnn.cli import main


def test_convert_takes_two_places(tmp_path: Path, data: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "data.xyz"
    assert main(["convert", data, str(out)]) == 0
    assert f"structures written to {out}" in capsys.readouterr().out
    assert main(["convert", data, str(out)]) == 1
    assert "say --overwrite" in capsys.readouterr().err
    assert main(["convert", data, str(out), "--overwrite"]) == 0
    assert main(["convert", data, data, "--overwrite"]) == 1
    assert "'target' must not be a file that is read" in capsys.readouterr().err
