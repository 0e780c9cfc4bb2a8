"""Say that something takes its time, and how much of it has gone."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def announce(what: str, seconds: float) -> Iterator[None]:
    """Print what is being done with the expected time, a line that counts the seconds, and the time it took.

    Without a terminal only the first and the last line are printed. All go to standard error.

    Args:
        what: what is being done, as the start of a sentence.
        seconds: expected time.

    Yields:
        nothing.
    """
    start, done = time.monotonic(), threading.Event()
    print(f"{what}, once: about {seconds:.0f} s ...", file=sys.stderr, flush=True)

    def count() -> None:
        while not done.wait(1.0):
            print(f"\r  {time.monotonic() - start:.0f} of about {seconds:.0f} s", end="", file=sys.stderr, flush=True)

    counter = threading.Thread(target=count, daemon=True)
    if sys.stderr.isatty():
        counter.start()
    try:
        yield
    finally:
        done.set()
        if counter.is_alive():
            counter.join()
            print("\r", end="", file=sys.stderr)
    print(f"Done in {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
