"""Dynamics: the ASE calculator, and runs that watch the energy, with a report."""

from __future__ import annotations

from pyg_mpnn.md.calculator import PotentialCalculator
from pyg_mpnn.md.drift import EnergyDrift, energy_drift
from pyg_mpnn.md.dynamics import run_dynamics
from pyg_mpnn.md.recorder import ExplosionError
from pyg_mpnn.md.summary import DynamicsSummary

__all__ = ["PotentialCalculator", "run_dynamics", "DynamicsSummary", "ExplosionError", "EnergyDrift", "energy_drift"]
