from __future__ import annotations

import gzip
import json
from pathlib import Path

import torch
from torch_geometric.data import Data

from pyg_mpnn.training import chemiscope


def test_structures_and_numbers_are_written(tmp_path: Path) -> None:
    cell, pbc = 4 * torch.eye(3)[None], torch.ones(1, 3, dtype=torch.bool)
    frames = [Data(z=torch.tensor([29, 8]), pos=torch.tensor([[0.0, 0, 0], [0, 1, 2]]), cell=cell, pbc=pbc)] * 3
    values = {"error": ("meV", [1.0, 2.0, 3.0]), "unknown": ("eV", [1.0, None, 3.0])}
    assert chemiscope.write_chemiscope(tmp_path / "a.json.gz", frames, values, "mine") == 3
    content = json.loads(gzip.decompress((tmp_path / "a.json.gz").read_bytes()))
    first = content["structures"][0]
    assert (first["size"], first["names"], first["z"], first["cell"]) == (
        2,
        ["Cu", "O"],
        [0, 2],
        [4, 0, 0, 0, 4, 0, 0, 0, 4],
    )
    assert content["properties"]["error"] == {"target": "structure", "units": "meV", "values": [1.0, 2.0, 3.0]}
    assert set(content["properties"]) == {"index", "error"}


def test_large_sets_are_thinned(tmp_path: Path) -> None:
    frames = [Data(z=torch.ones(50_000, dtype=torch.long), pos=torch.zeros(50_000, 3))] * 8
    assert chemiscope.write_chemiscope(tmp_path / "a.json.gz", frames, {}, "mine") == 4
