from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pyg_mpnn.cli import main
from pyg_mpnn.learning import LearnSettings

FLAGS = ["learn", "--teacher", "ase.calculators.emt:EMT", "--structures", "copper.xyz", "--out", "run"]


@pytest.mark.parametrize(("reached", "code"), [(True, 0), (False, 3)])
def test_flags_and_exit_code(reached: bool, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[LearnSettings] = []

    def learn(settings: LearnSettings) -> Any:
        given.append(settings)
        return SimpleNamespace(reached=reached)

    monkeypatch.setattr("pyg_mpnn.cli.learn.learn", learn)
    more = ["--teacher.asap_cutoff", "true", "--model.l_max", "1", "--cutoff", "4", "--target-force-error", "20"]
    assert main([*FLAGS, *more]) == code
    (settings,) = given
    assert settings.teacher == {"class": "ase.calculators.emt:EMT", "asap_cutoff": True}
    assert (settings.model, settings.target_force_error) == ({"l_max": 1}, 20.0)


def test_mistakes_are_told_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*FLAGS, "--resume"]) == 1
    assert "'out' must hold state.json to resume" in capsys.readouterr().err
    assert main([*FLAGS, "--committee", "1"]) == 1
    assert "'committee' must be at least 2" in capsys.readouterr().err
