"""A small untrained potential, and the structures it is run on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from ase import Atoms
from torch import Tensor
from torch_geometric.data import Data

from pyg_mpnn import Potential


class Morse(Potential):
    """Morse potential between all neighbours, half of a pair's energy on each atom."""

    depth, width, bond = 4.6, 1.94, 0.74  # eV, 1/A, A

    def interaction_energies(
        self, z: Tensor, edge_index: Tensor, edge_vec: Tensor, batch: Tensor, num_graphs: int, **_: object
    ) -> Tensor:
        decay = torch.exp(-self.width * (edge_vec.norm(dim=1) - self.bond))
        energies = 0.5 * self.depth * (1 - decay).square()
        return torch.zeros(len(z), dtype=energies.dtype).index_add(0, edge_index[1], energies)


REFERENCE = {1: -13.6, 6: -1029.5, 8: -2042.1, 14: -7870.2}


@pytest.fixture(autouse=True)
def _pictures_are_left_out(undrawn: None) -> None:
    """Their own tests draw them."""


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


@pytest.fixture
def morse() -> Potential:
    return Morse.from_size("small")
