"""Dynamics, relaxation, vibrations: the ASE calculator, and commands that run it, with a report."""

from __future__ import annotations

from pyg_mpnn.md.calculator import PotentialCalculator
from pyg_mpnn.md.drift import EnergyDrift, energy_drift
from pyg_mpnn.md.dynamics import run_dynamics
from pyg_mpnn.md.hessian import hessian
from pyg_mpnn.md.infrared import dipole_derivatives, infrared_intensities
from pyg_mpnn.md.normal_modes import NormalModes, normal_modes
from pyg_mpnn.md.prediction import run_prediction
from pyg_mpnn.md.recorder import ExplosionError
from pyg_mpnn.md.relaxation import Relaxation, run_relaxation
from pyg_mpnn.md.summary import DynamicsSummary
from pyg_mpnn.md.thermochemistry import Thermochemistry, thermochemistry
from pyg_mpnn.md.vibrations import Vibrations, run_vibrations

__all__ = [
    "PotentialCalculator",
    "run_dynamics",
    "DynamicsSummary",
    "ExplosionError",
    "EnergyDrift",
    "energy_drift",
    "run_prediction",
    "run_relaxation",
    "Relaxation",
    "run_vibrations",
    "Vibrations",
    "hessian",
    "normal_modes",
    "NormalModes",
    "dipole_derivatives",
    "infrared_intensities",
    "thermochemistry",
    "Thermochemistry",
]
