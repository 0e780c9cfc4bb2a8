from __future__ import annotations

import gzip

import ase.io
import pytest

from pyg_mpnn.data import StreamedDataset, ethanol, read_structures, to_atoms
from pyg_mpnn.data.ase_images import check_whole


def _text(tmp_path, count):
    ase.io.write(tmp_path / "part.extxyz", [to_atoms(frame) for frame in ethanol("train")[:count]])
    return (tmp_path / "part.extxyz").read_text()


@pytest.mark.parametrize("name", ["joined.xyz", "joined.extxyz", "joined.extxyz.gz"])
def test_structures_behind_an_empty_line_are_not_lost_in_silence(tmp_path, name):
    text = _text(tmp_path, 3) + "  \n" + _text(tmp_path, 2)
    open_ = gzip.open if name.endswith(".gz") else open
    with open_(tmp_path / name, "wt") as file:
        file.write(text)
    assert len(ase.io.read(tmp_path / name, ":")) == 3, "control: what ASE reads"
    for read in (read_structures, lambda path: StreamedDataset(path, 5.0)):
        with pytest.raises(ValueError, match=r"line 34 of .*joined.* empty and text in line 35: .* only the 3 struct"):
            read(tmp_path / name)


def test_empty_lines_at_the_end_and_empty_comments_pass(tmp_path):
    (tmp_path / "end.extxyz").write_text(_text(tmp_path, 3) + "\n \n\n")
    (tmp_path / "plain.xyz").write_text("1\n\nH 0 0 0\n2\n\nH 0 0 0\nH 0 0 1\n")
    assert len(read_structures(tmp_path / "end.extxyz")) == 3
    assert len(read_structures(tmp_path / "plain.xyz", energy=False, forces=False)) == 2


def test_other_formats_pass(tmp_path):
    for name in ("frames.traj", "frames.db"):
        ase.io.write(tmp_path / name, to_atoms(ethanol("train")[0]))
        check_whole(tmp_path / name)
