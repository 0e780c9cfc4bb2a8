from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.datasets import MD17, QM9

from pyg_mpnn.data import ethanol, normalize_fields
from pyg_mpnn.units import HARTREE, KCAL_PER_MOL


@pytest.fixture
def md17(tmp_path):
    """PyG's own data set, made from a raw file of five frames of the shipped ethanol."""
    frames = ethanol("train")[:5]
    folder = tmp_path / "raw" / "rmd17" / "npz_data"
    folder.mkdir(parents=True)
    np.savez(
        folder / "rmd17_ethanol.npz",
        nuclear_charges=frames[0].z.numpy().astype(np.uint8),
        coords=np.stack([frame.pos for frame in frames]),
        energies=np.concatenate([frame.energy for frame in frames]) / KCAL_PER_MOL,
        forces=np.stack([frame.forces for frame in frames]) / KCAL_PER_MOL,
    )
    return MD17(str(tmp_path), name="revised ethanol")


@pytest.fixture
def qm9(tmp_path, monkeypatch):
    """PyG's own data set, made from a raw file with methane (molecule 1 of QM9, bonds and U0 as published)."""
    monkeypatch.setitem(sys.modules, "rdkit", None)
    pos = [[-0.0126981, 1.0858041, 0.0080010], [0.0021504, -0.0060313, 0.0019761], [1.0117308, 1.4637512, 0.0002766],
           [-0.5408151, 1.4475266, -0.8766437], [-0.5238136, 1.4379326, 0.9063973]]  # fmt: skip
    y = torch.zeros(1, 19)
    y[0, 7] = -40.47893 * 27.211386246
    bonds = torch.tensor([[0, 0, 0, 0, 1, 2, 3, 4], [1, 2, 3, 4, 0, 0, 0, 0]])
    (tmp_path / "raw").mkdir()
    methane = {"x": torch.zeros(5, 11), "z": torch.tensor([6, 1, 1, 1, 1]), "pos": torch.tensor(pos), "y": y,
               "edge_index": bonds, "edge_attr": torch.zeros(8, 4), "name": "gdb_1", "idx": 0}  # fmt: skip
    torch.save([methane], tmp_path / "raw" / "qm9_v3.pt")
    return QM9(str(tmp_path))


def test_md17_of_pyg_is_understood(md17):
    assert md17[0].energy.dtype == torch.float32  # control: PyG's names, units and precision
    assert "force" in md17[0]
    for data, expected in zip(md17, ethanol("train"), strict=False):
        frame = normalize_fields(data)
        assert frame.energy.shape == (1,)
        assert frame.energy.dtype == torch.float64
        # float32 in PyG: 2^-8 kcal/mol of -97,000 is 0.2 meV, 2^-17 kcal/mol/A of 100 is 0.4 micro-eV/A
        assert frame.energy.item() == pytest.approx(expected.energy.item(), abs=3e-4)
        assert torch.allclose(frame.forces.double(), expected.forces, rtol=0, atol=4e-7)
        assert set(frame.keys()) == {"z", "pos", "energy", "forces"}


def test_qm9_of_pyg_is_understood(qm9):
    frame = normalize_fields(qm9[0])
    assert set(frame.keys()) == {"z", "pos", "energy"}  # no bonds as neighbour list
    # float32 of 1,100 eV: half a spacing is 0.06 meV
    assert frame.energy.item() == pytest.approx(-40.47893 * HARTREE, abs=1e-4)
    assert frame.energy.shape == (1,)


def test_own_fields_are_kept_and_normalizing_twice_changes_nothing():
    data = Data(
        z=torch.tensor([14], dtype=torch.int32),
        pos=torch.zeros(1, 3),
        cell=torch.eye(3),
        pbc=torch.tensor([True, True, True]),
        energy=torch.tensor(-1.0),
        forces=torch.ones(1, 3),
        stress=torch.full((1, 3, 3), torch.nan),
        edge_index=torch.zeros(2, 6, dtype=torch.int64),
        shifts=torch.zeros(6, 3, dtype=torch.int64),
        cutoff=5.0,
        note="left out",
    )
    once = normalize_fields(data)
    twice = normalize_fields(once)
    assert set(once.keys()) == set(data.keys()) - {"note"}
    assert once.z.dtype == torch.int64
    assert once.cell.shape == (1, 3, 3)
    assert once.pbc.shape == (1, 3)
    for name in once.keys():  # noqa: SIM118 - PyG's Data iterates over pairs
        first, second = (torch.as_tensor(fields[name]).double() for fields in (once, twice))
        assert torch.allclose(first, second, rtol=0, atol=0, equal_nan=True)
    assert data.energy.dim() == 0  # the input is left alone


@pytest.mark.parametrize(
    ("units", "factor"), [("pyg", 1.0), ("eV", 1.0), ("kcal/mol", KCAL_PER_MOL), ("hartree", HARTREE)]
)
def test_units_are_taken_at_their_word(units, factor):
    data = Data(z=torch.tensor([2]), pos=torch.ones(1, 3), energy=torch.tensor([1.0]), forces=torch.ones(1, 3))
    frame = normalize_fields(data, units=units)
    assert frame.energy.item() == factor
    assert torch.allclose(frame.forces, torch.full((1, 3), factor), rtol=1e-7, atol=0)
    assert torch.equal(frame.pos, data.pos)
    named_as_in_pyg = Data(z=data.z, pos=data.pos, energy=data.energy, force=data.forces)
    assert normalize_fields(named_as_in_pyg, units="eV").energy.item() == 1.0
    assert normalize_fields(named_as_in_pyg).energy.item() == KCAL_PER_MOL


def test_errors_name_the_field(unchecked):
    z, pos = torch.tensor([2]), torch.zeros(1, 3)
    with pytest.raises(ValueError, match=r"'units' must be 'pyg' or one of eV, hartree, kcal/mol, kJ/mol, got 'Ry'"):
        normalize_fields(Data(z=z, pos=pos), units="Ry")
    with pytest.raises(ValueError, match=r"'data' must have the field 'z', got only pos"):
        normalize_fields(Data(pos=pos))
    with pytest.raises(ValueError, match=r"'data' must have the field 'pos', got only z"):
        normalize_fields(Data(z=z))
    with pytest.raises(ValueError, match=r"'data' must hold 'force' .* or 'forces', got both"):
        normalize_fields(Data(z=z, pos=pos, force=pos, forces=pos))
    with pytest.raises(ValueError, match=r"'y' must be the \(1, 19\) targets of PyG's QM9, got \(1, 1\)"):
        normalize_fields(Data(z=z, pos=pos, y=torch.zeros(1, 1)))
