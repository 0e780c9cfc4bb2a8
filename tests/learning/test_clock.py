from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pyg_mpnn.learning import clock
from pyg_mpnn.learning.clock import CLOCK, Clock


def test_time_goes_on_where_it_was(tmp_path: Path) -> None:
    with Clock(tmp_path) as first:
        time.sleep(0.05)
    assert Clock(tmp_path).seconds >= 0.05
    assert Clock(tmp_path, before=100.0).seconds == pytest.approx(100.0, abs=1.0)
    assert first.seconds < 100.0
    (tmp_path / CLOCK).unlink()  # the control
    assert Clock(tmp_path).seconds < 0.05


def test_a_kill_loses_no_more_than_the_time_between_two_lines(tmp_path: Path) -> None:
    """A process that computes and writes nothing itself, as a training within its first epoch."""
    code = (
        "import sys, time; from pathlib import Path; from pyg_mpnn.learning import clock; clock._EVERY = 0.05\n"
        "with clock.Clock(Path(sys.argv[1]), before=30.0): time.sleep(600)"
    )
    root = Path(__file__).parents[2]
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=root, env={"PYTHONPATH": str(root)})
    while Clock(tmp_path).seconds < 30.2:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert Clock(tmp_path).seconds > 30.2


def test_full_disk_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(clock, "write_json", full)
    with Clock(tmp_path) as running:
        pass
    assert running.seconds >= 0
