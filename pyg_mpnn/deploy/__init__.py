"""Compiled energies and forces."""

from __future__ import annotations

from pyg_mpnn.deploy.compile import compile_training

__all__ = ["compile_training"]
