from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Data

from pyg_mpnn.inspection import check_force_units


def test_bonds_to_hydrogen_are_as_stiff_as_they_are(frames: list[Data]) -> None:
    """C-H about 5 and O-H about 7.5 mdyn/A in every textbook: 31 and 47 eV/A^2."""
    stiffness = check_force_units(frames).numbers["stiffness_times_length_squared_eV"]
    assert stiffness["H-C"] / 1.10**2 == pytest.approx(31, rel=0.1)
    assert stiffness["H-O"] / 0.97**2 == pytest.approx(47, rel=0.1)


def test_metals_are_not_told(copper: list[Data]) -> None:
    assert check_force_units(copper).finding.startswith("Cannot tell: there are too few bonds between nonmetals")


def test_zero_forces(frames: list[Data]) -> None:
    still = [frame.clone() for frame in frames]
    for frame in still:
        frame.forces = torch.zeros_like(frame.forces)
    assert check_force_units(still).finding == "The forces along the bonds are ZERO."
