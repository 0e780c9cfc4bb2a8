"""What the laws are tested on: a sound potential, broken ones, and two small structures."""

from __future__ import annotations

from pyg_mpnn.testing.controls.healthy import Healthy
from pyg_mpnn.testing.controls.independent import INDEPENDENT
from pyg_mpnn.testing.controls.own import CORRECTIONS, OWN
from pyg_mpnn.testing.controls.structures import crystal, molecule

__all__ = ["Healthy", "INDEPENDENT", "OWN", "CORRECTIONS", "molecule", "crystal"]
