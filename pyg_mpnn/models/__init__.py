"""Potentials composed from the blocks."""

from __future__ import annotations

from pyg_mpnn.models.mpnn import MPNN
from pyg_mpnn.models.potential import Potential, PotentialOutput
from pyg_mpnn.models.property import PropertyModel
from pyg_mpnn.models.sizes import SIZES

__all__ = ["MPNN", "Potential", "PotentialOutput", "PropertyModel", "SIZES"]
