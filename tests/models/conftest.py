"""Small potentials with error bars."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch_geometric.data import Data

from pyg_mpnn import Potential
from pyg_mpnn.data import ethanol
from pyg_mpnn.models import Committee, LastLayer, UncertainPotential

REFERENCE = {1: -13.6, 6: -1029.0, 8: -2041.0}
TINY = {"hidden_channels": 8, "edge_dim": 8, "channels": 2, "l_max": 1, "num_layers": 1}


def _potential(seed: int, **options: object) -> Potential:
    torch.manual_seed(seed)
    potential = Potential.from_size("small", **{**TINY, **options})
    potential.set_reference({z: energy + seed for z, energy in REFERENCE.items()}, scale=0.7, neighbors=[8.0])
    return potential.double().eval()


def _uncertain(kind: str) -> UncertainPotential:
    if kind == "committee":
        return Committee(*(_potential(seed) for seed in range(3))).eval()
    model = LastLayer(_potential(0), num_draws=3).eval()
    root = torch.randn(model.width, model.width, dtype=torch.float64)
    model.set_precision(root @ root.T + torch.eye(model.width))
    return model


@pytest.fixture(scope="session")
def make_potential() -> Callable[..., Potential]:
    """A small potential in float64 from a seed."""
    return _potential


@pytest.fixture(scope="session")
def make_uncertain() -> Callable[[str], UncertainPotential]:
    """A committee or a last layer, without a training."""
    return _uncertain


@pytest.fixture
def molecules() -> list[Data]:
    return [Data(z=frame.z, pos=frame.pos.double()) for frame in ethanol("test")[:3]]


@pytest.fixture
def carbon_crystal() -> Data:
    cell = 5.6 * torch.eye(3, dtype=torch.float64)
    pos = torch.tensor([[0.0, 0.1, 0.0], [2.8, 2.7, 0.2], [0.1, 2.8, 2.6]], dtype=torch.float64)
    return Data(z=torch.tensor([6, 8, 1]), pos=pos, cell=cell[None], pbc=torch.ones(1, 3, dtype=torch.bool))
