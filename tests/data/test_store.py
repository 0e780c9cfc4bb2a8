from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from pyg_mpnn.data.store import check_store, close_stores, read_index, read_store, write_store


def test_what_is_written_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    assert read_index(folder) is None
    write_store(folder, ({"x": torch.full((2,), float(k))} for k in range(2001)), {"count": 2001})
    assert read_index(folder) == {"count": 2001}
    assert [read_store(folder, k)["x"].tolist() for k in (0, 999, 1000, 2000)] == [[k, k] for k in (0, 999, 1000, 2000)]
    with pytest.raises(
        ValueError, match=r"'cache' must be whole, got .* with structure 2001 missing: remove the folder"
    ):
        read_store(folder, 2001)


def test_failed_write_leaves_the_old_folder(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    write_store(folder, [{"x": torch.tensor([1.0])}], {})

    def broken() -> Iterator[dict[str, torch.Tensor]]:
        yield {"x": torch.tensor([2.0])}
        raise ValueError("unusable")

    with pytest.raises(ValueError, match="unusable"):
        write_store(folder, broken(), {})
    assert read_store(folder, 0)["x"].item() == 1.0
    write_store(folder, [{"x": torch.tensor([3.0])}], {})
    assert read_store(folder, 0)["x"].item() == 3.0
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: _cut(folder / "data.mdb", 0.5), r"a data.mdb of \d+ in place of \d+ bytes"),
        (lambda folder: (folder / "data.mdb").unlink(), r"a data.mdb of 0 in place of \d+ bytes"),
        (lambda folder: _cut(folder / "index.json", 0.5), "a damaged index"),
        (lambda folder: (folder / "index.json").write_text("[]"), "a damaged index"),
        (lambda folder: (folder / "data.mdb").write_bytes(bytes(2**20)), "what LMDB refuses"),
    ],
)
def test_damaged_folder_is_one_error_that_names_it(
    damage: Callable[[Path], object], message: str, tmp_path: Path
) -> None:
    folder = tmp_path / "store"
    write_store(folder, ({"x": torch.full((100,), float(k))} for k in range(50)), {"count": 50})
    check_store(folder, 50)  # control
    close_stores()
    damage(folder)
    with pytest.raises(ValueError, match=rf"'cache' must be whole, got {folder} with {message}.*: remove the folder"):
        _open(folder)


def _open(folder: Path) -> None:
    if read_index(folder) is not None:
        check_store(folder, 50)


def _cut(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])


def test_full_disk_is_one_error_and_leaves_nothing(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"store' could not be written: .* Is the disk full\?"):
            write_store(tmp_path / "store", ({"x": torch.full((1000,), float(k))} for k in range(200)), {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())
