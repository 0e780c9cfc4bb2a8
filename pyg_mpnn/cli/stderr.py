"""Standard error that may be closed or full, while a command goes on."""

from __future__ import annotations

from typing import Any


class Forgiving:
    """A text stream whose writing never fails: what cannot be shown is left out.

    Progress and warnings go to standard error. A training must not end because the terminal that showed them is gone.

    Args:
        stream: standard error; ``None`` where the process was started without one.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, if that is possible.

        Args:
            text: what to show.

        Returns:
            its length.
        """
        try:
            if self._stream is not None:
                self._stream.write(text)
        except (OSError, ValueError):  # broken pipe, full disk; closed file
            self._stream = None
        return len(text)

    def flush(self) -> None:
        """Flush, if that is possible."""
        try:
            if self._stream is not None:
                self._stream.flush()
        except (OSError, ValueError):
            self._stream = None

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._stream is not None and bool(self._stream.isatty())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
