"""Compiled code on disk: in a folder of the user's own, checked before it is loaded, for one process at a time.

What is loaded from here runs as machine code. So the folders must belong to the user and be writable by nobody else,
and a list of SHA-256 digests, written last, stands beside the files of each piece of code: what was cut short, left by
a killed process or changed on disk is not loaded but made anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyg_mpnn.deploy.support import cache_folder, code_folder
from pyg_mpnn.files import write_text

_LIST = "files.json"


class CacheError(RuntimeError):
    """The folder of compiled code cannot be used."""


@contextmanager
def keep(name: str) -> Iterator[tuple[Path, bool]]:
    """Lend the folder of one piece of code, to load what is in it or, where that is not whole, to make it there.

    Other processes that want the same piece wait meanwhile, and find it whole.

    Args:
        name: digest of all that the code depends on.

    Yields:
        the folder, and whether what is in it is whole; it is empty otherwise.

    Raises:
        CacheError: the folder cannot be made or written, or others could write there.
    """
    with _usable():
        for folder in (cache_folder(), code_folder(), code_folder() / name):
            make_private(folder)
    with _locked(code_folder() / f"{name}.lock"):
        with _usable():
            whole = _is_whole(folder)
            if not whole:
                shutil.rmtree(folder)
                make_private(folder)
        yield folder, whole
        with _usable():
            _write_list(folder)  # of what is whole too: a process that loads code may leave more for the next one


def make_private(folder: Path) -> None:
    """Make a folder that only the user enters, or check that others cannot write to one that exists.

    Args:
        folder: folder to make; missing parents are made like it.

    Raises:
        CacheError: it belongs to somebody else, or others may write to it.
    """
    if not folder.parent.exists():
        make_private(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    if not hasattr(os, "getuid"):
        return  # Windows: the user's folders are the user's
    found = folder.stat()
    if found.st_uid != os.getuid():
        raise CacheError(
            f"the folder {folder} of compiled code must be your own (user {os.getuid()}), got one of user "
            f"{found.st_uid}, whose code is not run: name a folder of yours in PYG_MPNN_CACHE"
        )
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise CacheError(
            f"the folder {folder} of compiled code must be writable by you alone, got mode "
            f"{stat.S_IMODE(found.st_mode):04o}, so that its code may be of others and is not run: remove it, or name "
            "a folder of yours in PYG_MPNN_CACHE"
        )


@contextmanager
def _usable() -> Iterator[None]:
    """Say of which folder, and what to do, where the disk is full or cannot be written."""
    try:
        yield
    except OSError as error:
        raise cache_error(error) from error


def cache_error(error: OSError) -> CacheError:
    """The error that says what to do about one of the system."""
    return CacheError(
        f"the folder {cache_folder()} of compiled code must be writable, with room on its disk, got: {error}: name "
        "another folder in PYG_MPNN_CACHE"
    )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock that the system takes back when the process ends."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    with _usable():
        handle = path.open("w")
    with handle:
        with _usable():
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(f"Waiting for another process that makes the same code ({path}) ...", file=sys.stderr, flush=True)
                fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _digests(folder: Path) -> dict[str, str]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != _LIST)
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def _is_whole(folder: Path) -> bool:
    """Whether all files of the list are as they were; what is not in the list is removed."""
    try:
        wanted = json.loads((folder / _LIST).read_text())
    except (OSError, ValueError):
        return False
    found = _digests(folder)
    if not isinstance(wanted, dict) or any(found.get(path) != digest for path, digest in wanted.items()):
        return False
    for path in found.keys() - wanted.keys():
        (folder / path).unlink()
    return True


def _write_list(folder: Path) -> None:
    text = json.dumps(_digests(folder))
    if not (folder / _LIST).exists() or (folder / _LIST).read_text() != text:
        write_text(folder / _LIST, text)
