"""Files that are replaced only by complete ones, and folders that belong to one process at a time."""

from __future__ import annotations

import errno
import io
import json
import os
import shlex
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

LOCK = "process.lock"
"""Name of the file by which a process keeps a folder to itself."""

_FULL = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the quota is used up", errno.EFBIG: "a limit of file sizes"}
_OWN: set[Path] = set()  # locks of this process


@contextmanager
def write_whole(path: str | Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a file that appears, in place of an old one, when it is complete and on the disk.

    It is written beside its place, flushed to the disk, then renamed. After an error the old file is as it was and
    nothing else is left.

    Args:
        path: the file; its folder is made if absent.
        mode: ``"w"`` for text (UTF-8) or ``"wb"``.

    Yields:
        the open file.

    Raises:
        OSError: it cannot be written, for instance because the disk is full; the message names the file.

    Example:
        >>> path = Path(tempfile.mkdtemp()) / "numbers.txt"
        >>> with write_whole(path) as file:
        ...     _ = file.write("1 2 3")
        >>> path.read_text()
        '1 2 3'
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"'{path}' must be a file to write, got a folder: choose another name.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    except OSError as error:
        raise _named(error, path) from error
    try:
        options: dict[str, Any] = (
            {} if "b" in mode else {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}
        )
        with os.fdopen(handle, mode, **options) as file:
            yield file
        os.chmod(temporary, path.stat().st_mode & 0o7777 if path.exists() else 0o666 & ~_umask())
        put_in_place(temporary, path)
    except OSError as error:
        if error.errno not in _FULL:  # of what is read meanwhile
            raise
        raise _named(error, path) from error
    finally:
        Path(temporary).unlink(missing_ok=True)


@contextmanager
def replace_whole(path: str | Path) -> Iterator[Path]:
    """Lend the name of a file that something else writes; it takes its place when it is complete and on the disk.

    After an error the old file is as it was and nothing else is left.

    Args:
        path: the file, in a folder that exists.

    Yields:
        a path of the same name, in a folder of its own for what comes up meanwhile.

    Example:
        >>> path = Path(tempfile.mkdtemp()) / "numbers.txt"
        >>> with replace_whole(path) as partial:
        ...     _ = partial.write_text("1 2 3")
        >>> path.read_text(), len(list(path.parent.iterdir()))
        ('1 2 3', 1)
    """
    path = Path(path)
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        yield Path(scratch) / path.name
        put_in_place(Path(scratch) / path.name, path)


def put_in_place(partial: str | Path, path: str | Path) -> None:
    """Put a complete file or folder in the place of an older one: where all writers end.

    Args:
        partial: what is complete, on the disk of its place.
        path: its place.
    """
    if Path(partial).is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
    os.replace(partial, path)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file, whole or not at all.

    Args:
        path: the file.
        text: its content.

    Raises:
        OSError: as of :func:`write_whole`.
    """
    with write_whole(path) as file:
        file.write(text)


def write_json(path: str | Path, content: Any) -> None:
    """Write plain values as JSON, whole or not at all.

    Args:
        path: the file.
        content: numbers, texts, lists and mappings.

    Raises:
        OSError: as of :func:`write_whole`.
    """
    write_text(path, json.dumps(content, indent=2) + "\n")


def append_text(path: str | Path, text: str) -> None:
    """Add text to the end of a file, and wait until it is on the disk.

    Where that fails, the file is as it was. After a kill the text may be there in part.

    Args:
        path: the file, made if absent.
        text: what to add.

    Raises:
        OSError: it cannot be written, for instance because the disk is full; the message names the file.

    Example:
        >>> path = Path(tempfile.mkdtemp()) / "numbers.txt"
        >>> append_text(path, "1 2"), append_text(path, " 3"), path.read_text()
        (None, None, '1 2 3')
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "ab", buffering=0) as file:
            before = file.seek(0, os.SEEK_END)
            content = text.encode("utf-8", "surrogateescape")
            try:
                while content:
                    content = content[file.write(content) :]
                os.fsync(file.fileno())
            except OSError:
                file.truncate(before)
                raise
    except OSError as error:
        raise _named(error, path) from error


def write_picture(path: str | Path, save: Callable[..., Any], **options: Any) -> None:
    """Write a picture, whole or not at all.

    Args:
        path: the file; the end of its name is the format.
        save: what writes it to an open file, such as the ``savefig`` of a figure.
        **options: passed to ``save``.

    Raises:
        OSError: as of :func:`write_whole`.
    """
    with write_whole(path, "wb") as file:
        save(file, format=Path(path).suffix.removeprefix(".") or "png", **options)


def write_tensors(path: str | Path, content: Any) -> None:
    """Write what ``torch.save`` takes, whole or not at all.

    Args:
        path: the file.
        content: tensors, plain values and containers of these.

    Raises:
        OSError: as of :func:`write_whole`.
    """
    import torch

    buffer = io.BytesIO()  # torch hides what the disk says behind a RuntimeError of its own
    torch.save(content, buffer)
    with write_whole(path, "wb") as file:
        file.write(buffer.getbuffer())


def refuse_input_as_output(name: str, out: str | Path | None, inputs: Iterable[str | Path | None]) -> None:
    """Refuse to write over a file that is read.

    Args:
        name: the argument that names the file to write.
        out: the file to write; None passes.
        inputs: what is read: files, or other words, which pass.

    Raises:
        ValueError: they are one file, or it is a folder.
    """
    if out is None or not Path(out).exists():
        return
    if Path(out).is_dir():
        raise ValueError(f"{name!r} must be a file to write, got the folder {out}: choose another name.")
    for item in inputs:
        if item is not None and Path(item).exists() and Path(out).samefile(item):
            raise ValueError(f"{name!r} must not be a file that is read, got {out}, which is: choose another name.")


@contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Keep a folder to this process; the system ends that when the process ends, also when it is killed.

    Args:
        folder: the folder, which is made if absent.

    Yields:
        nothing, while it is held.

    Raises:
        FileExistsError: another process holds it; the message names it.
    """
    refuse_held_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder.resolve() / LOCK
    with open(path, "a+", encoding="utf-8", errors="surrogateescape") as file:
        if not _lock(file, path):
            raise _held(path)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()} ({shlex.join(sys.argv)[:200]})")
        file.flush()
        _OWN.add(path)
        try:
            yield
        finally:
            _OWN.discard(path)
            path.unlink(missing_ok=True)


def refuse_held_folder(folder: Path) -> None:
    """Refuse a folder that another process works in.

    Args:
        folder: the folder; it may be absent.

    Raises:
        FileExistsError: another process holds it by :func:`hold_folder`; the message names it.
    """
    path = folder.resolve() / LOCK
    if not path.is_file() or path in _OWN:  # to close a file of one's own would end the lock
        return
    with open(path, "a+", encoding="utf-8", errors="surrogateescape") as file:
        if not _lock(file, path):
            raise _held(path)


def _lock(file: IO[Any], path: Path) -> bool:
    """Lock an open file for this process: a POSIX lock, which children do not inherit."""
    import fcntl

    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            return False
        raise
    return path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat())  # not one that was just removed


def _held(path: Path) -> FileExistsError:
    who = path.read_text(encoding="utf-8", errors="surrogateescape") if path.exists() else ""
    return FileExistsError(
        f"'out' must be a folder that no other process works in, got {str(path.parent)!r}, where "
        f"{who or 'another process'} does: wait for it, or choose another folder."
    )


def _named(error: OSError, path: Path) -> OSError:
    why = _FULL.get(error.errno or 0, error.strerror or str(error))
    kept = "; the file that was there is as it was" if path.is_file() else ""
    named = type(error)(f"'{path}' could not be written: {why}{kept}. Make room, or choose another place.")
    named.errno = error.errno
    return named


def _umask() -> int:
    """The user's mask, which files made by tempfile ignore."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
