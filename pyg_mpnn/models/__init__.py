"""Potentials composed from the blocks."""

from __future__ import annotations

from pyg_mpnn.models.committee import Committee
from pyg_mpnn.models.energy_model import EnergyModel, PotentialOutput
from pyg_mpnn.models.features import Features
from pyg_mpnn.models.last_layer import LastLayer
from pyg_mpnn.models.mpnn import MPNN
from pyg_mpnn.models.outputs import (
    AtomwiseOutput,
    ChargesOutput,
    DipoleLengthOutput,
    DipoleOutput,
    Output,
    PolarizabilityOutput,
    ScalarOutput,
    SpatialExtentOutput,
)
from pyg_mpnn.models.potential import Potential
from pyg_mpnn.models.sizes import SIZES
from pyg_mpnn.models.spread import SPREADS, Calibration, Spread, UncertainPotential
from pyg_mpnn.models.structure import Structure
from pyg_mpnn.models.sum_potential import SumPotential, load_potential, open_potential
from pyg_mpnn.models.terms import EnergyTerm, Geometry
from pyg_mpnn.models.zbl import ZBL, zbl_energy

__all__ = [
    "MPNN",
    "EnergyModel",
    "Potential",
    "PotentialOutput",
    "Features",
    "Output",
    "AtomwiseOutput",
    "ScalarOutput",
    "ChargesOutput",
    "DipoleLengthOutput",
    "SpatialExtentOutput",
    "DipoleOutput",
    "PolarizabilityOutput",
    "EnergyTerm",
    "Geometry",
    "Structure",
    "SIZES",
    "ZBL",
    "zbl_energy",
    "SumPotential",
    "Calibration",
    "Committee",
    "LastLayer",
    "Spread",
    "UncertainPotential",
    "SPREADS",
    "load_potential",
    "open_potential",
]
