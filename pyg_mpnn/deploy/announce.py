"""Say that something takes its time, and how much of it has gone."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

MINUTE = 60.0
"""Seconds from one line to the next where there is no terminal."""


@contextmanager
def announce(what: str, seconds: float) -> Iterator[None]:
    """Print what is being done with the expected time, a line that counts the seconds, and the time it took.

    Without a terminal it is a line each minute. All go to standard error.

    Args:
        what: what is being done, as the start of a sentence.
        seconds: expected time on a core of its own; beside other programs it takes as much longer as they take of it.

    Yields:
        nothing.
    """
    start, done = time.monotonic(), threading.Event()
    print(f"{what}, once: about {seconds:.0f} s on a free core ...", file=sys.stderr, flush=True)
    terminal = sys.stderr.isatty()

    def count() -> None:
        while not done.wait(1.0 if terminal else MINUTE):
            text = f"  {time.monotonic() - start:.0f} of about {seconds:.0f} s"
            print(f"\r{text}" if terminal else text, end="" if terminal else "\n", file=sys.stderr, flush=True)

    counter = threading.Thread(target=count, daemon=True)
    counter.start()
    try:
        yield
    finally:
        done.set()
        counter.join()
        if terminal:
            print("\r", end="", file=sys.stderr)
    print(f"Done in {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
