"""Potentials in the engines that people simulate with: LAMMPS, OpenMM, i-PI, TorchSim, metatomic.

Each has a module of its own, which imports the engine when it is used and says which extra brings it where it is
missing.
"""

from __future__ import annotations

from pyg_mpnn.engines.evaluator import Evaluation, Evaluator

__all__ = ["Evaluator", "Evaluation"]
