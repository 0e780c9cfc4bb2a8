from __future__ import annotations

import gzip
import lzma
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch

from pyg_mpnn.data import LabelNames, StreamedDataset, ethanol, read_structures, to_atoms
from pyg_mpnn.data.frames import LabelShape
from pyg_mpnn.data.read import iterate_structures, load_frames
from pyg_mpnn.units import BOHR, HARTREE

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
    message = (
        r"labels under one set of names, got REF_energy in 1 and forces in 1 \(stored by a calculator\) of 1 frames"
    )
    with pytest.raises(ValueError, match=message):
        read_structures(path)
    names = LabelNames(energy="REF_energy", forces="forces")
    assert read_structures(path, labels=names)[0].energy.item() == -5.0, "control"


def test_labels_have_the_same_names_in_all_structures(write, capsys):
    reference = ("pos:R:3:REF_forces:R:3", "REF_energy=-5.0", ROWS)
    path = write(reference, reference, GOOD)
    message = (
        r"got REF_energy in 2, REF_forces in 2 and energy in 1, forces in 1 \(stored by a calculator\) of 3 frames, "
        r"perhaps of two methods: name those to read \(--energy-key REF_energy --forces-key REF_forces, or --energy-"
    )
    for read in (read_structures, lambda path: StreamedDataset(path, 3.0), load_frames):
        with pytest.raises(ValueError, match=message):
            read(path)
    chosen = load_frames(path, labels=LabelNames(energy="REF_energy", forces="REF_forces"))
    assert [frame.energy.item() for frame in chosen] == [-5.0, -5.0]
    assert "2 structures; energy from REF_energy in 2, forces from REF_forces in 2, no stress, 1 others have none" in (
        capsys.readouterr().out
    )
    assert chosen.sources[0]["left_out"] == 1


def test_an_unknown_value_is_not_counted(write, capsys):
    rows = "H 0 0 0\nH 0 0 0.8"
    path = write(("pos:R:3", "energy=-3.0 gap=nan", rows), ("pos:R:3", "energy=-3.0 gap=1.5", rows))
    frames = load_frames(path, others={"gap": LabelShape("structure", ())})
    assert [bool(frame.gap.isnan()) for frame in frames] == [True, False]
    assert "energy from energy in 2, no forces, no stress, gap from gap in 1" in capsys.readouterr().out


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
    with pytest.raises(ValueError, match=r"frame 1 of .*frames.extxyz: 'energy' must hold real numbers, got 'low'"):
        read_structures(write(GOOD, ("pos:R:3:forces:R:3", "energy=low", ROWS)))
    good = ("pos:R:3:REF_forces:R:3", "REF_energy=1.0", ROWS)
    with pytest.raises(ValueError, match=r"'energy' of frame 1 of .* must have the shape \(1,\) .* got \(2,\)"):
        read_structures(write(good, ("pos:R:3:REF_forces:R:3", 'REF_energy="1.0 2.0"', ROWS)))


def test_missing_file_is_refused(tmp_path):
    for path in (tmp_path / "nothing.xyz", tmp_path / "nothing.npz", tmp_path):
        with pytest.raises(FileNotFoundError, match=r"must be files or the word ethanol .*, got"):
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


DUMP = """ITEM: TIMESTEP
0
ITEM: NUMBER OF ATOMS
2
ITEM: BOX BOUNDS pp pp pp
0 3.6
0 3.6
0 3.6
ITEM: ATOMS id type{element} x y z fx fy fz
1 2 {first}0.1 0 0 1 0 0
2 1 {second}0 1.8 1.8 -1 0 0
"""


def test_types_of_a_dump_are_no_elements(tmp_path):
    path = tmp_path / "cu.lammpstrj"
    path.write_text(DUMP.format(element="", first="", second=""))
    message = r"'types' must say which elements the types of .*cu.lammpstrj are, .* for instance --types 1=Cu,2=Ag"
    for read in (load_frames, lambda path: list(iterate_structures(path))):
        with pytest.raises(ValueError, match=message):
            read(path)
    types = LabelNames(types={1: "Cu", 2: "Ag"})
    (frame,) = load_frames(path, labels=types)
    assert frame.z.tolist() == [47, 29]
    assert frame.forces[0].tolist() == [1.0, 0.0, 0.0]
    assert "energy" not in frame, "ASE's reader says 0"
    with pytest.raises(ValueError, match=r"'energy' is missing in all structures"):
        load_frames(path, labels=types, required=["energy"])
    with pytest.raises(ValueError, match=r"'types' must number the elements from 1 without gaps"):
        load_frames(path, labels=LabelNames(types={2: "Ag"}))
    path.write_text(DUMP.format(element=" element", first="Au ", second="Ni "))
    assert load_frames(path)[0].z.tolist() == [79, 28], "control"


def test_name_of_a_file_is_no_selection(write):
    path = write(GOOD, GOOD, GOOD)
    path.rename(path.with_name("me@home.xyz"))
    assert len(read_structures(path.with_name("me@home.xyz"))) == 3
    write(GOOD, name="a.xyz")
    other = write(GOOD, GOOD, name="a.xyz@0")
    assert len(read_structures(other)) == 2
    assert len(list(iterate_structures(other))) == 2


def test_structures_may_have_some_of_the_labels(write, capsys):
    energy_only = ("pos:R:3", "energy=-3.0", "H 0 0 0\nH 0 0 0.8")
    stress_only = ("pos:R:3", 'Lattice="3 0 0 0 3 0 0 0 3" stress="1 0 0 0 1 0 0 0 1"', "H 0 0 0\nH 0 0 0.8")
    path = write(GOOD, energy_only, stress_only)
    frames = load_frames(path)
    assert [sorted({"energy", "forces"} & set(frame.keys())) for frame in frames] == [
        ["energy", "forces"],
        ["energy"],
        [],
    ]
    assert [bool(frame.stress.isnan().all()) for frame in frames] == [True, True, False]
    assert (
        "3 structures; energy from energy in 2, forces from forces in 1, stress from stress in 1"
        in capsys.readouterr().out
    )
    assert frames.sources[0]["labels"] == {"energy": "energy in 2", "forces": "forces in 1", "stress": "stress in 1"}
    with pytest.raises(ValueError, match=r"'energy' is missing in frame 1 of .*, which holds positions alone"):
        load_frames(write(GOOD, ("pos:R:3", "", "H 0 0 0\nH 0 0 0.8")))


@pytest.mark.parametrize("columns", ["pos:R:3:my_forces:R:3", "pos:R:3:Force:R:3"])
def test_forces_under_another_name_are_pointed_at(write, columns):
    with pytest.raises(ValueError, match=r"'forces' is missing in frame 0 of .*so say what it is called"):
        load_frames(write((columns, "energy=-3.0", ROWS)))


def test_what_is_there_and_not_used_is_said(write, capsys):
    rows = "H 0 0 0 0 0 1 0 0 0\nH 0 0 0.8 0 0 -1 0 0 0"
    path = write(("pos:R:3:forces:R:3:momenta:R:3", "energy=-3.0 charge=1 config_type=bulk", rows))
    load_frames(path)
    assert "present but not used: charge, momenta\n" in capsys.readouterr().out


def test_virials_give_the_stress_and_the_sign_is_said(write, capsys):
    virials = 'virials="27 0 0 0 54 0 0 0 81"'
    path = write((GOOD[0], f'energy=-3.0 Lattice="3 0 0 0 3 0 0 0 3" {virials}', ROWS))
    frame = load_frames(path)[0]
    assert frame.stress[0].diagonal().tolist() == pytest.approx([-1.0, -2.0, -3.0])
    assert "stress from -virials / volume in 1" in capsys.readouterr().out


def test_units_are_converted_by_flag(write):
    path = write((GOOD[0], 'energy=-3.0 Lattice="3 0 0 0 3 0 0 0 3" stress="1 0 0 0 1 0 0 0 1"', ROWS))
    frame = read_structures(path, labels=LabelNames(energy_unit="hartree", length_unit="bohr"))[0]
    assert frame.energy.item() == pytest.approx(-3.0 * HARTREE, rel=1e-14)
    assert frame.pos[1, 2].item() == pytest.approx(0.8 * BOHR, rel=1e-14)
    assert frame.cell[0, 0, 0].item() == pytest.approx(3.0 * BOHR, rel=1e-14)
    assert frame.forces[0, 2].item() == pytest.approx(HARTREE / BOHR, rel=1e-14)
    assert frame.stress[0, 0, 0].item() == pytest.approx(HARTREE / BOHR**3, rel=1e-14)
    (atoms,) = iterate_structures(path, labels=LabelNames(length_unit="bohr"))
    assert atoms.positions[1, 2] == pytest.approx(0.8 * BOHR, rel=1e-14)
    assert atoms.cell[0, 0] == pytest.approx(3.0 * BOHR, rel=1e-14)


def test_unknown_units_are_refused(unchecked):
    with pytest.raises(ValueError, match="'energy_unit' must be one of eV, hartree, kcal/mol, kJ/mol, got 'Ry'"):
        LabelNames(energy_unit="Ry")


def test_damaged_database_is_one_error(tmp_path):
    (tmp_path / "bad.db").write_bytes(b"SQLite format 3\0" + bytes(200))
    with pytest.raises(ValueError, match=r"'path' must be (an ASE database|readable by ASE), got .*bad.db"):
        read_structures(tmp_path / "bad.db")


def test_a_pointer_of_git_lfs_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ani.h5"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 634677\n")
    with pytest.raises(ValueError, match=r"got a pointer of Git LFS in .*ani.h5: run 'git lfs pull'"):
        read_structures(path)
