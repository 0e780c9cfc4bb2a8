from __future__ import annotations

import zipfile

import numpy as np
import pytest
import torch

from pyg_mpnn.data import LabelNames, read_structures
from pyg_mpnn.data.md17 import how_to_get
from pyg_mpnn.data.read import load_frames
from pyg_mpnn.units import BOHR, HARTREE

KCAL = 0.0433641  # eV, to six digits: any of the CODATA values


@pytest.fixture
def arrays():
    generator = np.random.default_rng(0)
    return {
        "nuclear_charges": np.array([8, 1, 1], dtype=np.uint8),
        "coords": generator.normal(size=(4, 3, 3)),
        "energies": generator.normal(size=4) - 47000.0,
        "forces": generator.normal(size=(4, 3, 3)),
    }


@pytest.fixture
def save(tmp_path):
    def save(arrays):
        np.savez(tmp_path / "water.npz", **arrays)
        return tmp_path / "water.npz"

    return save


def renamed(arrays):
    old = dict(zip(("z", "R", "E", "F"), arrays.values(), strict=True))
    return old | {"E": old["E"].reshape(-1, 1), "name": np.array("water"), "theory": np.array("PBE")}


@pytest.mark.parametrize("layout", [dict, renamed], ids=["revised", "original"])
def test_md17_is_converted_from_kcal_per_mol(arrays, save, layout):
    frames = read_structures(save(layout(arrays)))
    assert len(frames) == 4
    for k, frame in enumerate(frames):
        assert frame.z.tolist() == [8, 1, 1]
        assert frame.pos.numpy() == pytest.approx(arrays["coords"][k], rel=1e-15)
        assert frame.energy.item() == pytest.approx(arrays["energies"][k] * KCAL, rel=2e-6)
        assert frame.forces.numpy() == pytest.approx(arrays["forces"][k] * KCAL, rel=2e-6)


def test_md17_keeps_the_energy_float64(arrays, save):
    frame = read_structures(save(arrays), dtype=torch.float32)[0]
    assert (frame.pos.dtype, frame.forces.dtype, frame.energy.dtype) == (torch.float32, torch.float32, torch.float64)


def test_md17_follows_the_unit_that_the_file_names(arrays, save):
    frames = read_structures(save(arrays | {"e_unit": np.array("eV"), "r_unit": np.array("Ang")}))
    assert frames[0].energy.item() == arrays["energies"][0]
    with pytest.raises(ValueError, match=r"'e_unit' must be one of eV, hartree, kcal/mol, kJ/mol, got 'Rydberg' in"):
        read_structures(save(arrays | {"e_unit": np.array("Rydberg")}))
    with pytest.raises(ValueError, match=r"'r_unit' must be one of Ang, angstrom, bohr, Bohr, got 'nm' in"):
        read_structures(save(arrays | {"r_unit": np.array("nm")}))
    frame = read_structures(save(arrays | {"e_unit": np.array("hartree"), "r_unit": np.array("bohr")}))[0]
    np.testing.assert_allclose(frame.pos, arrays["coords"][0] * BOHR, rtol=1e-14)
    np.testing.assert_allclose(frame.energy, arrays["energies"][0] * HARTREE, rtol=1e-14)
    np.testing.assert_allclose(frame.forces, arrays["forces"][0] * HARTREE / BOHR, rtol=1e-14)


def test_md17_takes_units_of_the_user_where_the_file_says_none(arrays, save):
    frame = read_structures(save(arrays), labels=LabelNames(energy_unit="eV"))[0]
    assert frame.energy.item() == arrays["energies"][0]
    with pytest.raises(ValueError, match=r"'e_unit' of .* is 'kcal/mol', got 'eV': leave the flag out, or correct"):
        read_structures(save(arrays | {"e_unit": np.array("kcal/mol")}), labels=LabelNames(energy_unit="eV"))


def test_md17_has_names_of_its_own(arrays, save, capsys):
    assert len(load_frames(save(arrays), labels=LabelNames(energy="dft_energy"))) == 4
    assert "MD17's npz has names of its own: those given (energy 'dft_energy') do not count" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("key", "change", "message"),
    [
        ("nuclear_charges", lambda a: a + 0.5, r"'nuclear_charges' / 'z' must hold atomic numbers, got \d\.5 in"),
        ("nuclear_charges", lambda a: a.astype(str), "'nuclear_charges' / 'z' must hold real numbers, got <U"),
        ("energies", lambda a: a + 1j, "'energies' / 'E' must hold real numbers, got complex128 in"),
    ],
)
def test_md17_refuses_what_is_no_number(arrays, save, key, change, message):
    arrays[key] = change(arrays[key])
    with pytest.raises(ValueError, match=message):
        read_structures(save(arrays))


def test_md17_reads_any_byte_order(arrays, save):
    expected = read_structures(save(arrays))[0]
    swapped = {key: value.astype(value.dtype.newbyteorder(">")) for key, value in arrays.items()}
    found = read_structures(save(swapped))[0]
    assert all(torch.equal(found[name], expected[name]) for name in ("z", "pos", "energy", "forces"))


def test_md17_refuses_an_array_beyond_memory(arrays, save):
    path = save({key: value for key, value in arrays.items() if key != "energies"})
    header = {"descr": "<f8", "fortran_order": False, "shape": (10**13,)}
    with zipfile.ZipFile(path, "a") as archive, archive.open("energies.npy", "w") as file:
        np.lib.format.write_array_header_1_0(file, header)
    with pytest.raises(
        ValueError, match=r"'path' must be a NumPy npz file, got .* cannot be read as one \(damaged\?\)"
    ):
        read_structures(path)


def test_md17_lattice_makes_it_periodic(arrays, save):
    frame = read_structures(save(arrays | {"lattice": 4.0 * np.eye(3)}))[0]
    assert frame.pbc.tolist() == [[True] * 3]
    assert torch.equal(frame.cell, 4.0 * torch.eye(3, dtype=torch.float64)[None])
    skewed = np.array([[4.0, 1.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 4.0]])
    with pytest.raises(
        ValueError, match=r"'lattice' must be symmetric, .* whose vectors may be its rows or its columns"
    ):
        read_structures(save(arrays | {"lattice": skewed}))


def test_md17_leaves_labels_out_on_request(arrays, save):
    frame = read_structures(save(arrays), energy=False, forces=False)[0]
    assert set(frame.keys()) == {"z", "pos"}


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("coords", "must hold the array 'coords' or 'R', got only nuclear_charges, energies, forces in .*water.npz"),
        ("nuclear_charges", "must hold the array 'nuclear_charges' or 'z', got only"),
        ("energies", "'energy' is missing in frame 0 of .*water.npz"),
        ("forces", "'forces' is missing in frame 0 of .*water.npz"),
    ],
)
def test_md17_refuses_missing_arrays(arrays, save, key, message):
    del arrays[key]
    with pytest.raises(ValueError, match=message):
        read_structures(save(arrays))


@pytest.mark.parametrize(
    ("key", "name"), [("coords", "'pos' .* at atom 1"), ("energies", "'energy'"), ("forces", "'forces' .* at atom 1")]
)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_md17_refuses_what_is_not_finite_and_names_the_frame(arrays, save, key, name, value):
    arrays[key][(2, 1, 0)[: arrays[key].ndim]] = value
    field, *place = name.split(" .* ")
    with pytest.raises(
        ValueError,
        match=rf"{field} of frame 2 of .*water.npz must be finite, got {value}{''.join(place) and ' at atom 1'}",
    ):
        read_structures(save(arrays))


@pytest.mark.parametrize(
    ("key", "change", "message"),
    [
        ("coords", lambda a: a[:, :2], r"'coords' / 'R' must fit 4 frames of 3 atoms, got shape \(4, 2, 3\)"),
        ("forces", lambda a: a[:, :2], r"'forces' / 'F' must fit 4 frames of 3 atoms, got shape \(4, 2, 3\)"),
        ("forces", lambda a: a[:3], r"'forces' / 'F' must fit 4 frames of 3 atoms, got shape \(3, 3, 3\)"),
        ("energies", lambda a: a[:3], r"'energies' / 'E' must fit 4 frames of 3 atoms, got shape \(3,\)"),
    ],
)
def test_md17_refuses_mismatched_shapes(arrays, save, key, change, message):
    arrays[key] = change(arrays[key])
    with pytest.raises(ValueError, match=message):
        read_structures(save(arrays))


@pytest.mark.parametrize("z", [0, 119])
def test_md17_refuses_unknown_elements(arrays, save, z):
    arrays["nuclear_charges"][1] = z
    with pytest.raises(ValueError, match=f"'z' of frame 0 of .* from 1 to 118, got {z} at atom 1"):
        read_structures(save(arrays))


def test_md17_refuses_an_empty_data_set(arrays, save):
    for key in ("coords", "energies", "forces"):
        arrays[key] = arrays[key][:0]
    with pytest.raises(ValueError, match=r"'path' must hold at least one structure, got none in .*water.npz"):
        read_structures(save(arrays))


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 broken"])
def test_md17_refuses_a_damaged_file(tmp_path, content):
    (tmp_path / "bad.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"'path' must be a NumPy npz file, got .*bad.npz, which cannot be read"):
        read_structures(tmp_path / "bad.npz")


def test_md17_refuses_a_single_array(tmp_path):
    with (tmp_path / "bad.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(ValueError, match=r"'path' must be a NumPy npz file, .* is not a zip file"):
        read_structures(tmp_path / "bad.npz")


def test_md17_refuses_an_unknown_packing(arrays, save):
    with pytest.raises(ValueError, match=r"'packing' must be 'int32', got 'int16'"):
        read_structures(save(arrays | {"packing": np.array("int16")}))


def test_absent_file_says_where_it_is(tmp_path):
    archive = "https://archive.materialscloud.org/record/file?filename=rmd17.tar.bz2&record_id=466"
    whole, split = tmp_path / "rmd17_uracil.npz", tmp_path / "rmd17_uracil_train_01.npz"
    with pytest.raises(FileNotFoundError) as caught:
        read_structures(whole)
    assert str(caught.value).endswith(f"download {archive} (revised MD17) and unpack npz_data/{whole.name} to {whole}.")
    assert how_to_get(split).endswith(f"to {split}, and take from it the frames of splits/index_train_01.csv.")
    assert how_to_get(tmp_path / "uracil.npz") == how_to_get(tmp_path / "md17_uracil.xyz") == ""
