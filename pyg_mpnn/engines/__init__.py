"""Potentials in the engines that people simulate with, each in a module of its own: lammps, openmm, ipi, torchsim, metatomic.

A module imports its engine when it is used, and says which extra brings it where it is missing.
"""

from __future__ import annotations

from pyg_mpnn.engines.evaluator import Evaluation, Evaluator

__all__ = ["Evaluator", "Evaluation"]
