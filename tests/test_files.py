from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pyg_mpnn import files
from pyg_mpnn.files import (
    LOCK,
    append_text,
    hold_folder,
    refuse_held_folder,
    refuse_input_as_output,
    write_json,
    write_picture,
    write_tensors,
    write_text,
    write_whole,
)

WRITERS: dict[str, Callable[[Path], Any]] = {
    "text": lambda path: write_text(path, "x" * 20_000),
    "json": lambda path: write_json(path, ["x" * 20_000]),
    "appended": lambda path: append_text(path, "x" * 20_000),
    "tensors": lambda path: write_tensors(path, {"weight": torch.zeros(20_000)}),
    "picture": lambda path: write_picture(path, lambda file, format: file.write(b"x" * 20_000)),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS.keys())
def test_full_disk_keeps_the_old_file_and_says_so(write: Callable[[Path], Any], tmp_path: Path) -> None:
    path = tmp_path / "result.png"
    path.write_text("old")
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(
            OSError, match=r"result.png' could not be written: a limit of file sizes; the file that was"
        ):
            write(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["result.png"]
    write(path)
    assert path.read_bytes() != b"old", "control"


def test_folder_is_made_and_permissions_are_the_users(tmp_path: Path) -> None:
    mask = os.umask(0o027)
    try:
        write_text(tmp_path / "new" / "a.txt", "1")
    finally:
        os.umask(mask)
    assert (tmp_path / "new" / "a.txt").stat().st_mode & 0o777 == 0o640
    (tmp_path / "new" / "a.txt").chmod(0o604)
    write_text(tmp_path / "new" / "a.txt", "2")
    assert (tmp_path / "new" / "a.txt").stat().st_mode & 0o777 == 0o604


def test_error_within_is_passed_on_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="elsewhere"), write_whole(tmp_path / "a.txt"):
        raise FileNotFoundError("elsewhere")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="could not be written"):
        write_text(tmp_path / "file" / "a.txt", "1")


def test_output_is_no_input(tmp_path: Path) -> None:
    (tmp_path / "a.xyz").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "a.xyz")
    with pytest.raises(ValueError, match="'json' must not be a file that is read"):
        refuse_input_as_output("json", tmp_path / "link", ["ethanol", tmp_path / "a.xyz"])
    refuse_input_as_output("json", tmp_path / "b.json", [tmp_path / "a.xyz", None])
    refuse_input_as_output("json", None, [tmp_path / "a.xyz"])


def test_folder_is_held_by_one_process_until_it_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time, pathlib, runpy\nhold_folder = runpy.run_path(sys.argv[2])['hold_folder']\n"  # without torch
        "with hold_folder(pathlib.Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(60)\n"
    )
    folder = tmp_path / "run"
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(folder), files.__file__], stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    for attempt in (lambda: refuse_held_folder(folder), lambda: hold_folder(folder).__enter__()):
        with pytest.raises(FileExistsError, match=rf"no other process works in, .* where process {other.pid} on "):
            attempt()
    other.send_signal(signal.SIGKILL)
    other.wait()
    other.stdout.close()
    refuse_held_folder(folder)  # what is left of the killed one does not count
    with hold_folder(folder):
        refuse_held_folder(folder)  # by itself
        assert (folder / LOCK).is_file()
    assert not list(folder.iterdir())
