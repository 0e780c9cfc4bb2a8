from __future__ import annotations

from typing import Any

import pytest

from pyg_mpnn.cli import main
from pyg_mpnn.learning import DistillSettings

FLAGS = ["distill", "--structures", "copper.xyz", "--out", "run"]


def test_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[DistillSettings] = []
    monkeypatch.setattr("pyg_mpnn.cli.distill.distill", given.append)
    more: list[Any] = ["--sample", "10", "--temperature", "300", "500", "--training.batch_size", "4"]
    assert main([*FLAGS, "--teacher", "run/best.ckpt", *more, "--model.l_max", "1"]) == 0
    assert main([*FLAGS, "--teacher", "tblite.ase:TBLite", "--teacher.method", "GFN2-xTB"]) == 0
    first, second = given
    assert (first.name, first.sample, first.temperatures) == ("run/best.ckpt", 10, (300.0, 500.0))
    assert (first.training, first.model, first.size) == ({"batch_size": 4}, {"l_max": 1}, "small")
    assert second.teacher == {"class": "tblite.ase:TBLite", "method": "GFN2-xTB"}


def test_mistakes_are_told_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*FLAGS, "--teacher", "absent.ckpt"]) == 1
    assert "or a trained potential or its folder, got absent.ckpt, which is not there" in capsys.readouterr().err
    assert main([*FLAGS, "--teacher", "absent.ckpt", "--resume"]) == 1
    assert "'out' must hold state.json to resume" in capsys.readouterr().err
