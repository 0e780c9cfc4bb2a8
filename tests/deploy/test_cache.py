"""Compiled code is loaded from a folder of the user's own, whole or not at all, and made by one process at a time."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import threading
import warnings

import pytest
import torch

from pyg_mpnn import Potential, RadiusGraph
from pyg_mpnn.deploy import cache as cache_module
from pyg_mpnn.deploy import generate, support
from pyg_mpnn.deploy.cache import CacheError, keep
from pyg_mpnn.deploy.support import CompilationError, code_folder

SMALL = {"hidden_channels": 8, "edge_dim": 4, "channels": 2, "num_layers": 1, "num_radial": 4, "l_max": 1}


@pytest.fixture(autouse=True)
def own(cache, tmp_path, monkeypatch):
    """A cache for each test, but one for torch's headers, which take long to compile."""
    monkeypatch.setattr(support, "header_folder", lambda: cache / "headers")
    monkeypatch.setenv("PYG_MPNN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def make(content=b"some code"):
    """What a first process does; whether it found the code whole."""
    with keep("name") as (folder, whole):
        if not whole:
            assert list(folder.iterdir()) == []
            (folder / "sub").mkdir()
            (folder / "sub" / "code").write_bytes(content)
        assert (folder / "sub" / "code").read_bytes() == content
    return whole


def test_what_was_made_is_found_again():
    assert [make(), make()] == [False, True]


FAULTS = {
    "one bit": lambda path: path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:]),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "empty": lambda path: path.write_bytes(b""),
    "gone": lambda path: path.unlink(),
    "no list": lambda path: path.parents[1].joinpath("files.json").unlink(),
    "half a list": lambda path: path.parents[1].joinpath("files.json").write_text('{"sub/co'),
    "another list": lambda path: path.parents[1].joinpath("files.json").write_text("[]"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_not_whole_is_made_anew(fault):
    make()
    FAULTS[fault](code_folder() / "name" / "sub" / "code")
    assert [make(), make()] == [False, True]


def test_a_failure_is_not_taken_for_code():
    with pytest.raises(KeyError, match="trouble"), keep("name") as (folder, _):  # noqa: PT012
        (folder / "sub").mkdir()
        raise KeyError("trouble")
    assert [make(), make()] == [False, True]


def test_files_that_are_not_in_the_list_are_removed():
    make()
    (code_folder() / "name" / "left").write_text("by another")
    assert make()
    assert not (code_folder() / "name" / "left").exists()


def test_what_a_process_adds_while_it_loads_is_kept():
    make()
    with keep("name") as (folder, whole):
        assert whole
        (folder / "more").write_text("for the next one")
    assert make()
    assert (code_folder() / "name" / "more").exists()


def test_folders_are_for_the_user_alone(own):
    before = os.umask(0)
    try:
        make()
    finally:
        os.umask(before)
    for folder in (own, code_folder(), code_folder() / "name"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o1777])
def test_a_folder_that_others_may_write_is_refused(own, mode):
    for folder in (lambda: own, code_folder, lambda: code_folder() / "name"):
        make()
        folder().chmod(mode)
        with pytest.raises(CacheError, match=rf"writable by you alone, got mode {mode:04o}.* PYG_MPNN_CACHE"):
            make()
        folder().chmod(0o700)
        assert make()


def test_a_folder_that_others_may_read_is_fine(own):
    make()
    own.chmod(0o755)
    assert make()


def test_a_folder_of_somebody_else_is_refused(monkeypatch):
    make()
    user = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: user + 1)
    with pytest.raises(CacheError, match=rf"must be your own \(user {user + 1}\), got one of user {user}, whose code"):
        make()


def test_a_path_that_cannot_be_made(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PYG_MPNN_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(CacheError, match=r"file/cache of compiled code must be writable.* PYG_MPNN_CACHE"):
        make()


def test_a_full_disk(monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(cache_module.json, "dumps", full)
    with pytest.raises(CacheError, match=r"room on its disk, got: .*No space left"):
        make()


def test_one_process_at_a_time(capsys):
    """A lock of an open file holds between threads, too, as each opens its own."""
    found, entered, second = [], threading.Event(), threading.Thread(target=lambda: found.append(make()))
    with keep("name") as (folder, whole):
        second.start()
        assert not entered.wait(0.3)
        assert found == []
        assert not whole
        (folder / "sub").mkdir()
        (folder / "sub" / "code").write_bytes(b"some code")
    second.join(10.0)
    assert found == [True]
    assert "Waiting for another process that makes the same code" in capsys.readouterr().err


@pytest.fixture
def potential():
    potential = Potential.from_size("small", cutoff=4.0, **SMALL).eval()
    potential.set_reference({1: -13.6, 8: -2041.0}, 0.5, [6.0])
    return potential


TROUBLES = {
    "path": (lambda patch, own: own.write_text("a file"), "must be writable"),
    "mode": (lambda patch, own: (own.mkdir(), own.chmod(0o777)), "writable by you alone, got mode 0777"),
    "disk": (
        lambda patch, own: patch.setattr(generate, "build", lambda *_: (_ for _ in ()).throw(OSError(28, "No space"))),
        "room on its disk, got: .*No space",
    ),
    "torch": (
        lambda patch, own: patch.setattr(generate, "build", lambda *_: (_ for _ in ()).throw(RuntimeError())),
        "torch could not make or load the code: RuntimeError",
    ),
}


@pytest.mark.long
@pytest.mark.usefixtures("unchecked", "compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("trouble", TROUBLES)
def test_trouble_means_eager_or_an_error(trouble, potential, water, own, monkeypatch):
    change, message = TROUBLES[trouble]
    change(monkeypatch, own)
    expected = potential(water)
    potential.compile("on")
    with pytest.raises(CompilationError, match=message) as caught:
        potential(water)
    assert "blocks of your own" not in str(caught.value)
    potential.compile("auto")
    with pytest.warns(UserWarning, match=f"energies and forces are not compiled: .*{message}"):
        assert torch.equal(potential(water).forces, expected.forces)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # said once
        potential(water)
        potential.double()(RadiusGraph(4.0)(water))


@pytest.mark.long
@pytest.mark.usefixtures("unchecked", "compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
def test_a_damaged_package_is_made_anew(potential, water, tmp_path, monkeypatch):
    expected = potential(water).forces
    torch.testing.assert_close(potential.compile("on")(water).forces, expected)
    (package,) = code_folder().glob("*/package.pt2")
    shutil.copy(package, tmp_path / "good.pt2")
    made = []

    def copy(traced, example, path):
        made.append(path)
        shutil.copy(tmp_path / "good.pt2", path)

    monkeypatch.setattr(generate, "build_package", copy)
    content = bytearray(package.read_bytes())
    for place in range(100, len(content), len(content) // 40):
        content[place] ^= 0x10
    for damaged in (bytes(content), content[: len(content) // 2], b""):
        package.write_bytes(damaged)
        torch.testing.assert_close(potential.compile("on")(water).forces, expected)
        assert made.pop() == package
    torch.testing.assert_close(potential.compile("on")(water).forces, expected)
    assert made == []
