from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch_geometric.data import Data, InMemoryDataset

from pyg_mpnn.data import LabelNames, read_structures
from pyg_mpnn.data.read import load_frames
from pyg_mpnn.units import KCAL_PER_MOL


def molecules() -> list[Data]:
    edges = torch.zeros(2, 0, dtype=torch.long)
    return [
        Data(
            z=torch.tensor([8, 1]),
            pos=torch.rand(2, 3),
            energy=torch.tensor([-9.0 - k]),
            force=torch.rand(2, 3),
            edge_index=edges,
        )
        for k in range(3)
    ]


def save(kind: str, path: Path, frames: list[Data]) -> None:
    if kind == "processed":
        InMemoryDataset.save(frames, str(path))
    else:
        content: Any = {
            "joined": InMemoryDataset.collate(frames),
            "list": frames,
            "mappings": [f.to_dict() for f in frames],
        }
        torch.save(content[kind], path)


@pytest.mark.parametrize("kind", ["processed", "joined", "list", "mappings"])
def test_files_of_pyg_are_read_in_their_units(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    frames = molecules()
    save(kind, tmp_path / "data.pt", frames)
    found = load_frames(tmp_path / "data.pt")
    assert [float(frame.energy) for frame in found] == pytest.approx([KCAL_PER_MOL * (-9.0 - k) for k in range(3)])
    torch.testing.assert_close(found[2].forces, KCAL_PER_MOL * frames[2].force.double())
    assert "PyG: kcal/mol where the forces are called 'force' (MD17)" in capsys.readouterr().out


def test_names_of_fields_are_taken(tmp_path: Path) -> None:
    frames = [Data(z=f.z, pos=f.pos, dft=f.energy) for f in molecules()]
    torch.save(frames, tmp_path / "data.pt")
    found = read_structures(tmp_path / "data.pt", labels=LabelNames(energy="dft"), forces=False)
    assert float(found[1].energy) == -10.0


class Own:
    """What a file must not bring."""

    def __reduce__(self) -> Any:
        return print, ("code ran",)


def test_code_is_refused_and_does_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save([Own()], tmp_path / "data.pt")
    with pytest.raises(ValueError, match=r"without code of its own, got .*data.pt, which needs .*print; it is read"):
        read_structures(tmp_path / "data.pt")
    assert "code ran" not in capsys.readouterr().out
    torch.save({"weights": torch.zeros(3)}, tmp_path / "data.pt")
    with pytest.raises(ValueError, match=r"a list of structures, or joined fields with slices, got dict"):
        read_structures(tmp_path / "data.pt")
    (tmp_path / "data.pt").write_bytes(b"cut")
    with pytest.raises(ValueError, match=r"must be a file of PyG's structures"):
        read_structures(tmp_path / "data.pt")


def test_pickles_in_lmdb_are_refused(tmp_path: Path) -> None:
    (tmp_path / "data.lmdb").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"must hold no pickles, got .*data.lmdb: LMDB files of OCP"):
        read_structures(tmp_path / "data.lmdb")
