"""The time that a run has taken, also where it is killed."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from pathlib import Path

from pyg_mpnn.files import write_json

CLOCK = "clock.json"
_EVERY = 10.0  # s


class Clock:
    """Seconds that a run has taken, on the disk every ten seconds while the context lasts: a kill loses no more.

    Args:
        folder: Of the run; clock.json in it holds what was taken before.
        before: Seconds that were taken before, where the file knows of fewer.

    Units:
        s.
    """

    def __init__(self, folder: Path, before: float = 0.0) -> None:
        self._file = folder / CLOCK
        kept = json.loads(self._file.read_text())["seconds"] if self._file.is_file() else 0.0
        self._before, self._begun = max(before, kept), time.monotonic()
        self._over = threading.Event()

    @property
    def seconds(self) -> float:
        """What the run took so far, that before a kill included."""
        return self._before + time.monotonic() - self._begun

    def __enter__(self) -> Clock:
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _write(self) -> None:
        over = False
        while not over:
            over = self._over.wait(_EVERY)
            with contextlib.suppress(OSError):  # of a full disk, which what the run writes itself says
                write_json(self._file, {"seconds": self.seconds})
