"""A small untrained potential, and the structures it is run on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from ase import Atoms
from torch_geometric.data import Data

from pyg_mpnn import Potential

REFERENCE = {1: -13.6, 6: -1029.5, 8: -2042.1, 14: -7870.2}


@pytest.fixture
def potential() -> Potential:
    """Random weights in float64, forces of a few eV/A, energies of the size that real ones have."""
    small = {"num_layers": 1, "hidden_channels": 16, "edge_dim": 8, "channels": 4}
    potential = Potential.from_size("small", cutoff=4.0, **small)
    potential.set_reference(REFERENCE, scale=2.0, neighbors=[8.0])
    return potential.to(torch.float64)


@pytest.fixture
def saved(potential: Potential, tmp_path: Path) -> Path:
    potential.save(tmp_path / "potential.pt")
    return tmp_path / "potential.pt"


@pytest.fixture
def molecule(ethanol: Data) -> Atoms:
    return Atoms(ethanol.z.numpy(), ethanol.pos.double().numpy())


@pytest.fixture
def crystal(silicon: Data) -> Atoms:
    return Atoms(silicon.z.numpy(), silicon.pos.double().numpy(), cell=silicon.cell[0].double().numpy(), pbc=True)
