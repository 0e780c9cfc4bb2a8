"""Whole commands and trainings as users run them; the shapes of the parts are checked where the parts are tested."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pyg_mpnn.cli import main


@pytest.fixture(autouse=True)
def _as_users_run_it(unchecked: None, undrawn: None) -> None:
    """Without shape checks, which take a third of the time, and draw from the generator whose state is resumed."""


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """A command: its exit code and all that it printed, without the name of the test's folder."""

    def command(*words: object) -> tuple[int, str]:
        code = main([str(word) for word in words])
        shown = capsys.readouterr()
        return code, (shown.out + shown.err).replace(str(tmp_path), "...")

    return command
