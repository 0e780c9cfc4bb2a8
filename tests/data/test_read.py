from __future__ import annotations

import gzip
import lzma
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch

from pyg_mpnn.data import ethanol, read_structures, to_atoms

ase_io = pytest.importorskip("ase.io")
SILICON = Path(__file__).parent / "assets" / "si.extxyz"


@pytest.fixture
def write(tmp_path):
    def write(*frames, name="frames.extxyz"):
        """Write two hydrogen atoms a frame, from (columns, comment, rows)."""
        text = "".join(f"2\nProperties=species:S:1:{columns} {comment}\n{rows}\n" for columns, comment, rows in frames)
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


ROWS = "H 0 0 0 0 0 1\nH 0 0 0.8 0 0 -1"
GOOD = ("pos:R:3:forces:R:3", "energy=-3.0", ROWS)


def test_extended_xyz_has_the_numbers_of_its_text():
    frames = read_structures(SILICON)
    lines = SILICON.read_text().splitlines()
    comment, first = lines[1], [float(word) for word in lines[2].split()[1:]]
    assert [frame.num_nodes for frame in frames] == [12, 16, 64, 64]
    assert frames[0].pos[0].tolist() == first[:3]
    assert frames[0].forces[0].tolist() == first[3:]
    assert frames[0].energy.item() == -62.65829715
    assert frames[0].cell.flatten().tolist() == [float(x) for x in comment.split('"')[1].split()]
    assert frames[3].stress.flatten().tolist() == [
        -0.0007522755419096746, 0.003647370177544723, -0.003077455225597478,
        0.003647370177544723, -0.0012680616294108904, -0.0006918311564405573,
        -0.003077455225597478, -0.0006918311564405573, -0.0020631751830603447,
    ]  # fmt: skip
    assert frames[0].pbc.tolist() == [[True, True, True]]


@pytest.mark.parametrize("suffix", [".extxyz", ".xyz", ".traj", ".db"])
def test_formats_of_ase_hold_the_same(tmp_path, suffix):
    frames = read_structures(SILICON)
    path = tmp_path / f"si{suffix}"
    ase_io.write(path, [to_atoms(frame) for frame in frames], **({"format": "extxyz"} if "xyz" in suffix else {}))
    for ours, theirs in zip(frames, read_structures(path), strict=True):
        for name in ("z", "pos", "cell", "pbc", "energy", "forces", "stress"):
            # text formats keep 8 decimals
            assert torch.allclose(ours[name], theirs[name], rtol=0, atol=1e-8 if "xyz" in suffix else 0), name


@pytest.mark.parametrize(("suffix", "compress"), [(".gz", gzip.compress), (".xz", lzma.compress)])
@pytest.mark.parametrize("stem", ["si.xyz", "si.extxyz"])
def test_compressed_files_are_read(tmp_path, stem, suffix, compress):
    path = tmp_path / (stem + suffix)
    path.write_bytes(compress(SILICON.read_bytes()))
    assert torch.equal(read_structures(path)[2].forces, read_structures(SILICON)[2].forces)


def test_several_files_are_joined_in_order(write):
    one = write(GOOD, name="one.xyz")
    two = write((GOOD[0], "energy=-4.0", ROWS), GOOD, name="two.xyz")
    assert [frame.energy.item() for frame in read_structures([two, str(one)])] == [-4.0, -3.0, -3.0]
    with pytest.raises(ValueError, match=r"'path' must name at least one file, got an empty sequence"):
        read_structures([])


def test_molecules_and_crystals_share_a_batch(write):
    frames = read_structures([write(GOOD), SILICON])
    batch = Batch.from_data_list(frames)
    assert batch.cell.shape == batch.stress.shape == (5, 3, 3)
    assert batch.pbc.any(dim=1).tolist() == [False, True, True, True, True]
    assert batch.stress.isnan().all(dim=(1, 2)).tolist() == [True, False, False, False, False]
    assert torch.equal(batch.cell[0], torch.zeros(3, 3))


def test_reference_labels_win_over_a_calculators(write):
    path = write(("pos:R:3:forces:R:3:REF_forces:R:3", "energy=-3.0 REF_energy=-5.0",
                  "H 0 0 0 0 0 1 0 0 2\nH 0 0 0.8 0 0 -1 0 0 -2"))  # fmt: skip
    frame = read_structures(path)[0]
    assert frame.energy.item() == -5.0
    assert frame.forces[:, 2].tolist() == [2.0, -2.0]


def test_labels_come_from_one_source(write):
    # forces of another method must not be joined to a reference energy
    path = write((GOOD[0], "REF_energy=-5.0", ROWS))
    with pytest.raises(ValueError, match=r"'forces' is missing in frame 0"):
        read_structures(path)


def test_unasked_labels_may_be_missing_and_are_left_out(write):
    path = write(GOOD, ("pos:R:3", "energy=-3.0", "H 0 0 0\nH 0 0 0.8"))
    with pytest.raises(ValueError, match=r"'forces' is missing in frame 1 of .*frames.extxyz, which holds"):
        read_structures(path)
    assert [sorted(frame.keys()) for frame in read_structures(path, forces=False)] == [["energy", "pos", "z"]] * 2
    assert [sorted(frame.keys()) for frame in read_structures(path, energy=False, forces=False)] == [["pos", "z"]] * 2


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (("pos:R:3", "energy=-3.0", "H 0 0 0\nH 0 0 0.8"), "'forces' is missing in frame 1"),
        (("pos:R:3:forces:R:3", "", ROWS), "'energy' is missing in frame 1"),
        (("forces:R:3", "energy=-3.0", "H 0 0 1\nH 0 0 -1"), "'pos' of frame 1 .* place the atoms, got all 2 at one"),
        (("pos:R:3:forces:R:3", "energy=-3.0", ROWS.replace("0.8", "nan")),
         "'pos' of frame 1 .* finite, got nan at atom 1"),
        (("pos:R:3:forces:R:3", "energy=-3.0", ROWS.replace("-1", "-inf")), "'forces' of frame 1 .*got -inf at atom 1"),
        (("pos:R:3:forces:R:3", "energy=nan", ROWS), "'energy' of frame 1 .* finite, got nan"),
        (("pos:R:3:forces:R:3", "energy=-3.0", "X" + ROWS[1:]), "'z' of frame 1 .* 1 to 118, got 0 at atom 0"),
        (("pos:R:3:forces:R:2", "energy=-3.0", "H 0 0 0 0 1\nH 0 0 1 0 1"),
         r"'forces' of frame 1 .* \(2, 3\) .* got \(2, 2\)"),
    ],
)  # fmt: skip
def test_bad_frames_are_named(write, frame, message):
    with pytest.raises(ValueError, match=message):
        read_structures(write(GOOD, frame))


def test_bad_stress_is_refused(write):
    periodic = 'energy=-3.0 Lattice="3 0 0 0 3 0 0 0 3" REF_energy=-3 REF_stress="{}"'
    columns = "pos:R:3:REF_forces:R:3"
    with pytest.raises(ValueError, match=r"frame 0 of .*: 'stress' must have 6 .Voigt. or 3 x 3 components, got shape"):
        read_structures(write((columns, periodic.format("1 2 3 4"), ROWS)))
    with pytest.raises(ValueError, match=r"'stress' of frame 0 .* must be finite, got nan"):
        read_structures(write((columns, periodic.format("1 2 3 4 5 nan"), ROWS)))


def test_energy_that_is_no_number_is_refused(write):
    with pytest.raises(ValueError, match=r"frame 1 of .*frames.extxyz: could not convert string to float: 'low'"):
        read_structures(write(GOOD, ("pos:R:3:forces:R:3", "energy=low", ROWS)))
    with pytest.raises(ValueError, match=r"'energy' of frame 1 of .* must have the shape \(1,\) .* got \(2,\)"):
        read_structures(write(GOOD, ("pos:R:3:REF_forces:R:3", 'REF_energy="1.0 2.0"', ROWS)))


def test_missing_file_is_refused(tmp_path):
    for path in (tmp_path / "nothing.xyz", tmp_path / "nothing.npz", tmp_path):
        with pytest.raises(FileNotFoundError, match=r"'path' must be a file, got .*which is none"):
            read_structures(path)


def test_unknown_format_is_refused(tmp_path):
    path = tmp_path / "notes.unknown"
    path.write_text("hello\n")
    with pytest.raises(
        ValueError, match=r"'path' must be a file that ASE reads or .* unknown format of .*notes.unknown"
    ):
        read_structures(path)


@pytest.mark.parametrize("text", ["hello\n", "2\nProperties=species:S:1:pos:R:3\nH 0 0 0\n", "1\n\nXx 0 0 0\n"])
def test_damaged_file_is_refused(tmp_path, text):
    path = tmp_path / "bad.xyz"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"'path' must be readable by ASE, got .* in .*bad.xyz"):
        read_structures(path)


def test_empty_file_is_refused(tmp_path):
    path = tmp_path / "empty.xyz"
    path.touch()
    with pytest.raises(ValueError, match=r"'path' must hold at least one structure, got none in .*empty.xyz"):
        read_structures(path)


def test_missing_ase_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "ase", None)
    with pytest.raises(ImportError, match=r'reading si.extxyz needs ASE, .* pip install "pyg_mpnn\[train\]"'):
        read_structures(SILICON)
    with pytest.raises(ImportError, match=r"to_atoms needs ASE"):
        to_atoms(ethanol("test")[0])
    assert np.isfinite(ethanol("test")[0].energy.item())  # npz needs no ASE


def test_config_weight_is_read_and_filled_with_one(write, tmp_path):
    path = write((GOOD[0], "energy=-3.0 config_weight=2.5", ROWS), GOOD)
    frames = read_structures([path, SILICON])
    assert [frame.weight.item() for frame in frames] == [2.5, 1.0, 1.0, 1.0, 1.0, 1.0]
    ase_io.write(tmp_path / "again.extxyz", [to_atoms(frame) for frame in frames[:2]])
    assert [frame.weight.item() for frame in read_structures(tmp_path / "again.extxyz")] == [2.5, 1.0]
    assert "weight" not in read_structures(SILICON)[0], "control"


def test_config_weight_is_a_key_of_an_ase_database(write, tmp_path):
    import ase.db

    atoms = to_atoms(read_structures(write(GOOD))[0])
    with ase.db.connect(tmp_path / "two.db") as database:
        database.write(atoms, config_weight=0.5)
        database.write(atoms)
    assert [frame.weight.item() for frame in read_structures(tmp_path / "two.db")] == [0.5, 1.0]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("-1", r"'weight' of frame 0 of .*frames.extxyz must not be negative, got -1.0: correct its 'config_weight'"),
        ("nan", r"'weight' of frame 0 of .*frames.extxyz must be finite, got nan"),
        ("high", r"frame 0 of .*frames.extxyz: 'config_weight' must be one number, got 'high'"),
    ],
)
def test_unusable_config_weights_are_errors(write, value, message):
    with pytest.raises(ValueError, match=message):
        read_structures(write((GOOD[0], f"energy=-3.0 config_weight={value}", ROWS)))


def test_labels_under_other_names_are_pointed_at(write):
    text = "2\nProperties=species:S:1:pos:R:3:my_forces:R:3 dft_energy=-3.0\n" + ROWS + "\n"
    path = write(GOOD)
    path.write_text(path.read_text() + text)
    message = (
        r"'energy' is missing in frame 1 of .*, which holds dft_energy, my_forces: it is taken from energy or "
        r"REF_energy, so say what it is called \(--energy-key, in Python LabelNames\(energy=...\)\)"
    )
    with pytest.raises(ValueError, match=message):
        read_structures(path)
