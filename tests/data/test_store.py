from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from pyg_mpnn.data.store import read_index, read_store, write_store


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
