"""Partial charges and dipole moments of molecules, from blocks of pyg_mpnn."""

from __future__ import annotations

from mpnn_charges.model import ChargeModel

__all__ = ["ChargeModel"]
