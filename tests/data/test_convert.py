from __future__ import annotations

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from pyg_mpnn.data import to_atoms, to_data

ase = pytest.importorskip("ase")
build = pytest.importorskip("ase.build")
emt = pytest.importorskip("ase.calculators.emt")
singlepoint = pytest.importorskip("ase.calculators.singlepoint")
constraints = pytest.importorskip("ase.constraints")

VOIGT = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
FULL = [[1.0, 6.0, 5.0], [6.0, 2.0, 4.0], [5.0, 4.0, 3.0]]


@pytest.fixture
def copper():
    atoms = build.bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=1)
    return atoms


def test_round_trip_keeps_everything(copper):
    copper.calc = singlepoint.SinglePointCalculator(copper, energy=-1.5, forces=np.ones((4, 3)), stress=VOIGT)
    atoms = to_atoms(to_data(copper))
    assert atoms == copper
    assert atoms.get_potential_energy() == -1.5
    assert np.array_equal(atoms.get_forces(), np.ones((4, 3)))
    assert atoms.get_stress().tolist() == VOIGT


def test_stress_is_unfolded_from_voigt_order(copper):
    copper.calc = singlepoint.SinglePointCalculator(copper, stress=VOIGT)
    assert to_data(copper).stress.tolist() == [FULL]
    copper.calc = None
    copper.info["stress"] = np.array(FULL)
    assert to_data(copper).stress.tolist() == [FULL]


def test_stress_needs_two_periodic_directions_and_a_volume(copper):
    copper.pbc = (True, True, False)
    copper.info["stress"] = VOIGT
    assert "stress" in to_data(copper), "of a slab"
    copper.pbc = (True, False, False)
    assert "stress" not in to_data(copper)


def test_unknown_stress_is_left_out(copper):
    data = to_data(copper)
    data.stress = torch.full((1, 3, 3), torch.nan)
    assert to_atoms(data).calc is None


def test_nothing_is_computed_and_constraints_do_not_hide_forces(copper):
    copper.calc = emt.EMT()
    assert "energy" not in to_data(copper)
    forces = copper.get_forces()
    assert "forces" in to_data(copper)
    copper.set_constraint(constraints.FixAtoms([0]))
    assert torch.equal(to_data(copper).forces, torch.as_tensor(forces))
    copper.positions += 0.1  # what the calculator stored is of the old positions
    copper.positions[0] += 0.1
    assert "forces" not in to_data(copper)


def test_labels_in_info_and_arrays_are_found(copper):
    copper.info["energy"] = np.int64(-3)
    copper.arrays["forces"] = np.ones((4, 3), dtype=np.float32)
    data = to_data(copper, dtype=torch.float32)
    assert data.energy.tolist() == [-3.0]
    assert data.energy.dtype == torch.float64
    assert data.forces.dtype == data.pos.dtype == data.cell.dtype == torch.float32


def test_cell_without_periodic_directions_is_refused():
    data = Data(z=torch.tensor([1]), pos=torch.zeros(1, 3), cell=torch.eye(3)[None])
    with pytest.raises(ValueError, match="'pbc' must be given with a 'cell', got none"):
        to_atoms(data)


def test_open_structure_has_no_cell():
    molecule = build.molecule("H2O", vacuum=5.0)
    assert set(to_data(molecule).keys()) == {"z", "pos"}


def test_slab_keeps_its_open_direction():
    slab = build.graphene()
    slab.pbc = (True, True, False)
    data = to_data(slab)
    assert data.pbc.tolist() == [[True, True, False]]
    assert data.cell[0, 2].tolist() == [0.0, 0.0, 0.0]
    assert to_atoms(data) == slab


def test_data_does_not_share_memory(copper):
    data = to_data(copper)
    data.pos += 1.0
    data.z += 1
    assert copper.numbers.tolist() == [29] * 4
    assert not np.allclose(copper.positions, data.pos.numpy())


def test_to_atoms_takes_what_there_is():
    atoms = to_atoms(Data(z=torch.tensor([2]), pos=torch.zeros(1, 3), energy=torch.tensor([1.0])))
    assert atoms.get_potential_energy() == 1.0
    assert not atoms.pbc.any()
