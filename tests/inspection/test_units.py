from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Data

from pyg_mpnn.inspection import check_energy_units, check_force_units
from pyg_mpnn.units import HARTREE


def test_free_atoms_tell_the_unit(frames: list[Data]) -> None:
    found = check_energy_units(frames[:3])
    assert found.severity == "ok"
    assert 1.0 < found.numbers["ratio_to_free_atoms"] < 1.02


def test_energies_of_valence_electrons_are_not_taken_for_rydberg_beside_forces_in_ev(frames: list[Data]) -> None:
    """xTB: 7 % of the energy of all electrons, as is one rydberg of one eV."""
    fewer = [Data(z=f.z, pos=f.pos, energy=2 / HARTREE * f.energy, forces=f.forces) for f in frames]
    found = check_energy_units(fewer)
    assert found.severity == "note"
    assert found.finding.startswith("Those of valence electrons in eV")
    for frame in fewer:
        frame.forces = 2 / HARTREE * frame.forces
    assert check_energy_units(fewer).finding.endswith("They are read as eV: CONVERT them.")
    for frame in fewer:
        del frame.forces
    assert check_energy_units(fewer).severity == "warning", "nothing tells them apart"


def test_binding_energies_are_not_told(copper: list[Data]) -> None:
    assert "as of binding energies" in check_energy_units(copper[:2]).finding
    far = copper[0].clone()
    far.energy = torch.tensor([-4000.0], dtype=torch.float64)
    assert check_energy_units([far]).finding.startswith("Cannot tell: -125 per atom")


def test_bonds_to_hydrogen_are_as_stiff_as_they_are(frames: list[Data]) -> None:
    """C-H about 5 and O-H about 7.5 mdyn/A in every textbook: 31 and 47 eV/A^2."""
    stiffness = check_force_units(frames).numbers["stiffness_times_length_squared_eV"]
    assert stiffness["H-C"] / 1.10**2 == pytest.approx(31, rel=0.1)
    assert stiffness["H-O"] / 0.97**2 == pytest.approx(47, rel=0.1)


def test_metals_are_not_told(copper: list[Data]) -> None:
    assert check_force_units(copper).finding.startswith("Cannot tell: there are too few bonds between nonmetals")


def test_zero_forces(frames: list[Data]) -> None:
    still = [frame.clone() for frame in frames]
    for frame in still:
        frame.forces = torch.zeros_like(frame.forces)
    found = check_force_units(still)
    assert found.finding.startswith("All forces are ZERO: energies and stresses alone are learned.")
    assert found.severity == "note", "of strained crystals they are so by symmetry"
