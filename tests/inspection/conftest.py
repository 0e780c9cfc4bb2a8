"""Clean sets to spoil: the shipped ethanol, and copper with energies, forces and stress of ASE's EMT."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from torch_geometric.data import Data

import pyg_mpnn.data
from pyg_mpnn.data import to_data


@pytest.fixture(scope="session")
def frames() -> list[Data]:
    """A part of the training structures."""
    return pyg_mpnn.data.ethanol("train")[:300]


@pytest.fixture(scope="session")
def copper() -> list[Data]:
    """Strained and rattled cells of 32 atoms."""
    rng = np.random.default_rng(0)
    crystals = []
    for k in range(40):
        atoms = bulk("Cu", cubic=True) * (2, 2, 2)
        if k % 2:
            strain = 0.02 * rng.normal(size=(3, 3))
            atoms.set_cell(atoms.cell.array @ (np.eye(3) + 0.5 * (strain + strain.T)), scale_atoms=True)
        else:
            atoms.positions += rng.normal(scale=0.05, size=atoms.positions.shape)
        atoms.calc = EMT()
        atoms.get_stress()
        crystals.append(to_data(atoms))
    return crystals
