"""A folder of structures on the disk (LMDB) that is whole or absent, whichever process makes it."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from pyg_mpnn.files import put_in_place, write_text

_OPEN: dict[str, Any] = {}  # database by folder


def import_lmdb() -> Any:
    """Import LMDB's Python binding.

    Returns:
        the module.

    Raises:
        ImportError: it is not installed.
    """
    try:
        import lmdb
    except ImportError as error:
        raise ImportError('streaming needs lmdb, which is not installed: pip install "pyg_mpnn[train]".') from error
    return lmdb


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Let one process at a time make the folder; the system takes the lock from one that is killed."""
    from filelock import FileLock, Timeout

    folder.parent.mkdir(parents=True, exist_ok=True)
    held = FileLock(f"{folder}.lock")
    try:
        held.acquire(timeout=0)
    except Timeout:
        print(f"Another process is making {folder}: waiting for it", flush=True)
        held.acquire()
    try:
        yield
    finally:
        held.release()


def read_index(folder: Path) -> dict[str, Any] | None:
    """What is known of all structures of a folder, ``None`` where there is no such folder.

    Args:
        folder: The folder.

    Returns:
        the index that :func:`write_store` was given.

    Raises:
        ValueError: the folder is damaged.
    """
    path = folder / "index.json"
    if not path.is_file():
        return None
    try:
        index: dict[str, Any] = json.loads(path.read_text())
        size = int(index.pop("size", 0))  # unknown in older folders
    except (ValueError, TypeError, AttributeError) as error:
        raise _damaged(folder, "a damaged index") from error
    data = folder / "data.mdb"
    if not data.is_file() or data.stat().st_size < size:  # LMDB maps it: to read behind its end kills the process
        raise _damaged(folder, f"a data.mdb of {data.stat().st_size if data.is_file() else 0} in place of {size} bytes")
    return index


def check_store(folder: Path, count: int) -> None:
    """Refuse a folder with another number of structures than its index says.

    Args:
        folder: The folder.
        count: The number in the index.

    Raises:
        ValueError: There are fewer or more.
    """
    with _reading(folder) as environment:
        entries = environment.stat()["entries"]
    if entries != count:
        raise _damaged(folder, f"{entries} structures in place of {count}")


@contextmanager
def _reading(folder: Path) -> Iterator[Any]:
    """The open database, whose errors name the folder."""
    lmdb = import_lmdb()
    try:
        yield _environment(folder)
    except lmdb.Error as error:
        raise _damaged(folder, f"what LMDB refuses ({error})") from error


def _damaged(folder: Path, found: str) -> ValueError:
    return ValueError(f"'cache' must be whole, got {folder} with {found}: remove the folder, it is made anew.")


def write_store(folder: Path, structures: Iterable[dict[str, torch.Tensor]], index: dict[str, Any]) -> None:
    """Write structures in place of the folder; until all are written it stays as it was.

    Args:
        folder: The folder.
        structures: Their tensors by name, one structure at a time; there must be one.
        index: What to keep beside them, plain values, which may be filled while they are written.

    Raises:
        FileExistsError: the folder is another's.
        OSError: it cannot be written, for instance because the disk is full.
    """
    if folder.exists() and not (folder / "index.json").is_file():
        raise FileExistsError(f"'cache' must be a folder of this class or absent, got {str(folder)!r}: remove it.")
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    lmdb = import_lmdb()
    batch: list[tuple[bytes, bytes]] = []
    environment = None
    try:
        environment = lmdb.open(str(partial), map_size=2**42, lock=False, sync=False)
        for number, tensors in enumerate(structures):
            buffer = io.BytesIO()
            torch.save(tensors, buffer)
            batch.append((_key(number), buffer.getvalue()))
            if len(batch) == 1000:
                _put(environment, batch)
        _put(environment, batch)
        environment.sync()
        environment.close()
        size = (partial / "data.mdb").stat().st_size
        write_text(partial / "index.json", json.dumps({**index, "size": size}))
    except BaseException as error:
        if environment is not None:
            environment.close()
        shutil.rmtree(partial, ignore_errors=True)
        if isinstance(error, (lmdb.Error, MemoryError)):
            raise OSError(
                f"'{folder}' could not be written: {error}. Is the disk full? Make room, or name another 'cache'."
            ) from error
        raise
    _close(folder)
    put_in_place(partial, folder)


def read_store(folder: Path, number: int) -> dict[str, torch.Tensor]:
    """The tensors of one structure.

    Args:
        folder: The folder.
        number: Place of the structure, from 0.

    Returns:
        the tensors by name.

    Raises:
        ValueError: the folder does not hold it.
    """
    with _reading(folder) as environment, environment.begin() as transaction:
        content = transaction.get(_key(number))
    if content is None:
        raise _damaged(folder, f"structure {number} missing")
    try:
        tensors: dict[str, torch.Tensor] = torch.load(io.BytesIO(content), weights_only=True)
    except Exception as error:  # what torch raises depends on the bytes; its advice is to run them as code
        raise _damaged(folder, f"structure {number} damaged") from error
    return tensors


def _put(environment: Any, batch: list[tuple[bytes, bytes]]) -> None:
    with environment.begin(write=True) as transaction:
        for key, value in batch:
            transaction.put(key, value)
    batch.clear()


def _key(number: int) -> bytes:
    return number.to_bytes(8, "big")


def _environment(folder: Path) -> Any:
    """The open database of a folder: LMDB allows one a process."""
    name = str(folder.resolve())
    if name not in _OPEN:
        _OPEN[name] = import_lmdb().open(name, readonly=True, lock=False, readahead=False)
    return _OPEN[name]


def _close(folder: Path) -> None:
    environment = _OPEN.pop(str(folder.resolve()), None)
    if environment is not None:
        environment.close()


def close_stores() -> None:
    """Close the databases that are open in this process; they are opened anew where they are read."""
    while _OPEN:
        _OPEN.popitem()[1].close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=close_stores)  # LMDB must not be carried into a worker; both open it anew
