"""Potentials in the engines that people simulate with: LAMMPS, OpenMM, i-PI, TorchSim, metatomic.

Each has a module of its own, which imports the engine when it is used and says which extra brings it where it is
missing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from pyg_mpnn.engines.evaluator import Evaluation, Evaluator

__all__ = [
    "Lammps",
    "run_lammps_dynamics",
    "LammpsDynamics",
    "openmm_force",
    "openmm_simulation",
    "IPIDriver",
    "ipi_forcefield",
    "torchsim_model",
    "export_metatomic",
    "Evaluator",
    "Evaluation",
]

_HOMES = {
    "Lammps": "lammps",  # a module that python -m runs must not have been imported before
    "run_lammps_dynamics": "lammps_dynamics",
    "LammpsDynamics": "lammps_dynamics",
    "openmm_force": "openmm",
    "openmm_simulation": "openmm",
    "IPIDriver": "ipi_driver",
    "ipi_forcefield": "ipi_driver",
    "torchsim_model": "torchsim",
    "export_metatomic": "metatomic",
}


def __getattr__(name: str) -> Any:
    """Import on first use."""
    if name in _HOMES:
        return getattr(import_module(f"pyg_mpnn.engines.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
