from __future__ import annotations

import torch

from pyg_mpnn.testing import crystal, molecule


def test_atoms_are_apart_and_without_symmetry():
    for structure in (molecule(), crystal()):
        assert structure.pos.dtype == torch.float64
        assert len(structure.z) == len(structure.pos)
    distance = torch.pdist(molecule().pos)
    assert distance.min() > 0.9
    assert distance.sort().values.diff().min() > 1e-4
    assert crystal().cell.shape == (1, 3, 3)
