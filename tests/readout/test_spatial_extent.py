from __future__ import annotations

import ase.data
import pytest
import torch

from pyg_mpnn.readout import SpatialExtentReadout
from pyg_mpnn.readout.spatial_extent import ATOMIC_MASSES


def test_masses_are_those_of_ase():
    assert list(ATOMIC_MASSES) == pytest.approx(ase.data.atomic_masses[1:119], abs=1e-4)


def test_second_moment_of_water_about_its_centre_of_mass(water, dtype):
    atoms = ase.Atoms(water.z.numpy(), water.pos.double().numpy() + 3.0)
    distances = ((atoms.positions - atoms.get_center_of_mass()) ** 2).sum(axis=1)
    q = torch.tensor([8.0, 1.5, 0.5], dtype=dtype)
    found = SpatialExtentReadout()(q, water.z, water.pos + 3.0, torch.zeros(3, dtype=torch.long), 2)
    assert found.tolist() == pytest.approx(
        [8.0 * distances[0] + 1.5 * distances[1] + 0.5 * distances[2], 0.0], rel=1e-4
    )


def test_rotation_and_inversion_do_not_matter(ethanol, dtype):
    turn, _ = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))
    q, zero = torch.rand(9), torch.zeros(9, dtype=torch.long)
    one, other = (
        SpatialExtentReadout()(q, ethanol.z, pos, zero, 1) for pos in (ethanol.pos, -ethanol.pos @ turn.to(dtype))
    )
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_gradients(water):
    q, pos = torch.rand(3, dtype=torch.float64, requires_grad=True), water.pos.double().requires_grad_()
    zero = torch.zeros(3, dtype=torch.long)
    assert torch.autograd.gradcheck(lambda a, b: SpatialExtentReadout()(a, water.z, b, zero, 1), (q, pos))


def test_columns_of_charges_are_refused(water, unchecked):
    with pytest.raises(ValueError, match="'q' must hold one number for each atom, 'pos' three and 'batch' one, got"):
        SpatialExtentReadout()(torch.rand(3, 1), water.z, water.pos, torch.zeros(3, dtype=torch.long), 1)
