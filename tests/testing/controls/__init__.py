"""What the laws are tested on: variants of a sound potential (``pyg_mpnn.testing.Healthy``), each broken in one way."""

from __future__ import annotations

from tests.testing.controls.independent import INDEPENDENT
from tests.testing.controls.own import CORRECTIONS, OWN

__all__ = ["INDEPENDENT", "OWN", "CORRECTIONS"]
