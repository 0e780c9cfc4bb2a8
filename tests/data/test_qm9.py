from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torch_geometric.datasets.qm9 import atomrefs

from pyg_mpnn.data import QM9, QM9_TARGETS, qm9, split_qm9
from pyg_mpnn.data.fingerprint import data_hash
from pyg_mpnn.units import HARTREE

ORDER = ["mu", "alpha", "homo", "lumo", "gap", "r2", "zpve", "U0", "U", "H", "G", "Cv"]


def test_targets_come_in_the_order_of_pyg():
    assert list(QM9_TARGETS) == ORDER


@pytest.mark.parametrize("name", ["U0", "U", "H", "G"])
def test_free_atoms_are_those_of_pyg(name):
    target = QM9_TARGETS[name]
    energies = [energy * target.factor for energy in target.free_atoms.values()]
    # PyG's are the same hartrees times 27.211386246 eV and 8 decimals; the constants differ by 1e-8
    assert energies == pytest.approx(atomrefs[ORDER.index(name)], rel=2e-8)


def test_other_targets_have_no_free_atoms():
    assert {name for name, target in QM9_TARGETS.items() if target.free_atoms} == {"U0", "U", "H", "G"}
    assert all(sum(atomrefs.get(place, [])) == 0 for place in (6, 11))


@pytest.mark.parametrize(
    ("n", "sizes"), [(130_831, (110_000, 10_000, 10_831)), (76_699, (64_487, 5_862, 6_350)), (96, (81, 7, 8))]
)
def test_parts_have_the_published_fractions_and_share_nothing(n, sizes):
    split = split_qm9(n)
    assert (len(split.train), len(split.valid), len(split.test)) == sizes
    order = split.train + split.valid + split.test
    assert sorted(order) == list(range(n))
    assert split.sha256 == hashlib.sha256(np.array(order, dtype="<i8").tobytes()).hexdigest()


def test_split_depends_on_the_seed_alone():
    assert split_qm9(1000, 1) == split_qm9(1000, 1)
    assert split_qm9(1000, 1).sha256 != split_qm9(1000, 2).sha256
    assert split_qm9(1000).train[:3] != sorted(split_qm9(1000).train[:3]), "in random order, for nested sets"


def test_known_splits_are_held_to_their_hash(monkeypatch):
    monkeypatch.setitem(qm9._DIGESTS, 76_699, "another")
    with pytest.raises(RuntimeError, match=r"the split of 76699 molecules must have the hash another, got 7e74eeda"):
        split_qm9(76_699)
    assert split_qm9(76_699, seed=1)


def test_too_few_molecules_are_an_error():
    with pytest.raises(ValueError, match=r"'n' must be at least 14, .*, got 5"):
        split_qm9(5)


FOLDER = Path(__file__).parent / "assets" / "qm9"


@pytest.fixture
def pyg_root(tmp_path):
    """The sample as the file that PyG downloads: float32, PyG's units, names and numbers from 0."""
    tables = {name: QM9(FOLDER, name) for name in QM9_TARGETS}
    molecules = []
    for place, molecule in enumerate(QM9(FOLDER)):
        row = []
        for name, target in QM9_TARGETS.items():
            value = tables[name].values[place].item()
            if target.free_atoms is not None:
                value += sum(target.free_atoms[int(z)] for z in molecule.z) * HARTREE
            row.append(value if target.factor == 1.0 else value / HARTREE * 27.211386246)
        gdb = int(molecule.gdb)
        y = torch.tensor([row + 7 * [0.0]], dtype=torch.float32)
        molecules.append({"z": molecule.z, "pos": molecule.pos.float(), "y": y, "name": f"gdb_{gdb}", "idx": gdb - 1})
    (tmp_path / "raw").mkdir()
    torch.save(molecules, tmp_path / "raw" / "qm9_v3.pt")
    return tmp_path


def test_files_are_those_of_the_readme():
    text = (FOLDER.parent / "README.md").read_text()
    for path in FOLDER.iterdir():
        assert data_hash(path) in text


def test_methane_has_its_published_values():
    # gdb_1 in dsgdb9nsd_000001.xyz: mu, alpha, homo, lumo, gap, r2, zpve, U0, U, H, G, Cv
    published = [0.0, 13.21, -0.3877, 0.1171, 0.5048, 35.3641, 0.044749]
    published += [-40.47893, -40.476062, -40.475117, -40.498597, 6.469]
    for (name, target), value in zip(QM9_TARGETS.items(), published, strict=True):
        data = QM9(FOLDER, name)
        assert data.unit == target.unit
        if name == "U0":  # atomization energy of methane, 395 kcal/mol
            value -= -37.846772 - 4 * 0.500273
            assert value * 627.5095 == pytest.approx(-395.999, abs=1e-3)
        if name in ("U", "H", "G"):
            assert data[0].target.item() == pytest.approx(QM9(FOLDER, "U0")[0].target.item(), rel=0.07)
            continue
        assert data[0].target.item() == pytest.approx(value * (27.211386 if target.unit == "eV" else 1.0), rel=1e-7)
    assert data[0].z.tolist() == [6, 1, 1, 1, 1]
    assert (data[0].pos[1:] - data[0].pos[0]).norm(dim=1) == pytest.approx(1.0919 * np.ones(4), abs=1e-3)
    assert data[0].gdb.tolist() == [1]


def test_reference_energies_leave_a_tenth_of_a_percent():
    u0 = QM9(FOLDER, "U0")
    assert -130 < u0.values.min() < u0.values.max() < -9  # eV; total energies are from -12,500 to -1,100
    assert u0[-1].target.dtype == u0[-1].pos.dtype == torch.float64


def test_pygs_copy_holds_the_same(pyg_root):
    for name in QM9_TARGETS:
        ours, pyg = QM9(FOLDER, name), QM9(pyg_root, name, download=False)
        assert pyg.gdb.tolist() == ours.gdb.tolist()
        # float32 total energies of up to 1e4 eV there
        bound = 1e-3 if QM9_TARGETS[name].free_atoms else 1e-6 * ours.values.abs().max()
        assert (ours.values - pyg.values).abs().max() < bound, name
        assert torch.equal(ours[5].z, pyg[5].z)
        assert (ours[5].pos - pyg[5].pos).abs().max() < 1e-6


def _write_uncharacterized(path, numbers):
    """The published layout: nine lines of heading, the molecules, a closing line."""
    lines = ["heading"] * 9 + [f"{number:>10}   C#N   C#N   1.0" for number in numbers] + [" 3054 compounds"]
    path.write_text("\n".join(lines) + "\n")


def test_uncharacterised_molecules_go_by_their_gdb_number(tmp_path):
    """Not by their row: the row after the one meant would go, as numbers begin at 1 and rows at 0."""
    for path in FOLDER.iterdir():
        shutil.copy(path, tmp_path)
    _write_uncharacterized(tmp_path / "uncharacterized.txt", [2, 6, 14, *range(200_000, 203_051)])
    whole, data = QM9(FOLDER, "alpha"), QM9(tmp_path, "alpha")
    assert set(whole.gdb) - set(data.gdb) == {2, 6, 14}
    assert len(data) == 93
    by_row = np.delete(whole.gdb, [2, 6, 14])
    assert {2, 6, 14} <= set(by_row.tolist()), "control: positions in place of numbers leave the bad ones in"
    for place, gdb in enumerate(data.gdb):
        other = whole[whole.gdb.tolist().index(gdb)]
        assert torch.equal(data[place].pos, other.pos)
        assert data[place].target == other.target
    _write_uncharacterized(tmp_path / "uncharacterized.txt", [2, 6, 14])
    with pytest.raises(ValueError, match=r"'path' must hold the 3054 uncharacterised molecules of QM9, got 3 in"):
        QM9(tmp_path)


def test_pyg_numbers_from_zero(pyg_root):
    molecules = torch.load(pyg_root / "raw" / "qm9_v3.pt")
    for molecule in molecules:
        molecule["idx"] += 1
    torch.save(molecules, pyg_root / "raw" / "qm9_v3.pt")
    with pytest.raises(ValueError, match=r"whose 'idx' is the gdb number less 1, got other numbers"):
        QM9(pyg_root)


def test_offline_message_has_address_and_path(tmp_path, monkeypatch):
    def refuse(url, folder, *args, **kwargs):
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / "qm9_v3.zip").write_bytes(b"half")
        raise URLError("no route to host")

    monkeypatch.setattr("torch_geometric.datasets.qm9.download_url", refuse)
    with pytest.raises(FileNotFoundError) as caught:
        QM9(tmp_path / "qm9", "U0")
    text = str(caught.value)
    assert "no route to host" in text
    assert "download https://data.pyg.org/datasets/qm9_v3.zip, unzip it to" in text
    assert str(tmp_path / "qm9" / "raw" / "qm9_v3.pt") in text
    assert not (tmp_path / "qm9").exists(), "PyG would take a half file for the whole"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "raw").mkdir()
    (tmp_path / "mine" / "raw" / "uncharacterized.txt").write_text("downloaded before")
    with pytest.raises(FileNotFoundError, match="no route to host"):
        QM9(tmp_path / "mine", "U0")
    assert [path.name for path in (tmp_path / "mine" / "raw").iterdir()] == ["uncharacterized.txt"]
    with pytest.raises(FileNotFoundError, match=r"without it: where there is a connection download https://"):
        QM9(tmp_path / "absent", download=False)
    assert not (tmp_path / "absent").exists()


def test_bad_folders_and_targets_are_errors(tmp_path):
    with pytest.raises(ValueError, match=r"'target' must be one of mu, alpha, .*, Cv, got 'u0'"):
        QM9(FOLDER, "u0")
    shutil.copy(FOLDER / "qm9_96_geometry.npz", tmp_path)
    with pytest.raises(ValueError, match=r"one \*_geometry.npz and one \*_targets.csv .* got 1 and 0"):
        QM9(tmp_path)
    (tmp_path / "x_targets.csv").write_text("mol_id," + ",".join(t.column for t in QM9_TARGETS.values()) + "\n")
    with pytest.raises(
        ValueError, match=r"'root' must hold the same molecules in qm9_96_geometry.npz and x_targets.csv"
    ):
        QM9(tmp_path)


def test_slices_and_negative_positions_are_those_of_a_list():
    data = QM9(FOLDER, "gap")
    assert [int(m.gdb) for m in data[-2:]] == data.gdb[-2:].tolist() == [int(data[-2].gdb), int(data[-1].gdb)]
    assert len(list(data)) == 96
    with pytest.raises(IndexError):
        data[96]


def test_file_in_place_of_the_folder_is_an_error(tmp_path):
    (tmp_path / "molecules.xyz").touch()
    with pytest.raises(ValueError, match=r"'root' must be a folder, with QM9 or for it, got the file .*molecules\.xyz"):
        QM9(tmp_path / "molecules.xyz", "gap")
