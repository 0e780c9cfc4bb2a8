"""Deliberately broken potentials: what the laws are tried on."""

from __future__ import annotations
