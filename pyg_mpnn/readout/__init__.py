"""From atoms to structures: readouts, atomic energies, forces and stress."""

from __future__ import annotations

from pyg_mpnn.readout.aggregate import LearnedSumReadout, MeanReadout, Readout, SoftmaxReadout, SumReadout
from pyg_mpnn.readout.atomwise import AtomwiseEnergy
from pyg_mpnn.readout.derivatives import energy_gradients, has_stress, stress_from_virial
from pyg_mpnn.readout.dipole import DipoleReadout, conserve_charge
from pyg_mpnn.readout.equivariant import GatedDensity, traceless_tensor
from pyg_mpnn.readout.spatial_extent import SpatialExtentReadout, center_of_mass

__all__ = [
    "Readout",
    "SumReadout",
    "MeanReadout",
    "LearnedSumReadout",
    "SoftmaxReadout",
    "AtomwiseEnergy",
    "DipoleReadout",
    "SpatialExtentReadout",
    "GatedDensity",
    "conserve_charge",
    "center_of_mass",
    "traceless_tensor",
    "energy_gradients",
    "stress_from_virial",
    "has_stress",
]
