"""Potentials composed from the blocks."""

from __future__ import annotations

from pyg_mpnn.models.energy_model import EnergyModel, PotentialOutput
from pyg_mpnn.models.mpnn import MPNN
from pyg_mpnn.models.potential import Potential
from pyg_mpnn.models.sizes import SIZES

__all__ = ["MPNN", "EnergyModel", "Potential", "PotentialOutput", "SIZES"]
