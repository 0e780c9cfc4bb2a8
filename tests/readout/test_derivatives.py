"""Forces, virial and stress of energies known in closed form."""

from __future__ import annotations

import pytest
import torch

from pyg_mpnn.geometry import apply_strain
from pyg_mpnn.readout import energy_gradients, stress_from_virial
from pyg_mpnn.testing import assert_forces_law, assert_momentum_law

SPRING = 3.0  # eV/A^2


def springs(pos):
    """All atoms joined by springs without length: E = k/2 sum over pairs of r^2."""
    vec = pos.unsqueeze(0) - pos.unsqueeze(1)
    return (0.25 * SPRING * vec.square().sum()).reshape(1)


def test_forces_are_minus_the_gradient(ethanol, dtype):
    pos = ethanol.pos.requires_grad_()
    forces, virial = energy_gradients(springs(pos), pos)
    expected = -SPRING * (9 * pos - pos.sum(dim=0)).detach()
    torch.testing.assert_close(forces, expected, rtol=1e-4, atol=1e-4)
    assert virial is None
    assert not forces.requires_grad
    assert_momentum_law(forces)


def test_forces_law(ethanol):
    def energy_and_forces(data):
        pos = data.pos.detach().requires_grad_()
        energy = springs(pos)
        return energy, energy_gradients(energy, pos)[0]

    ethanol.pos = ethanol.pos.double()
    assert_forces_law(energy_and_forces, ethanol)


def test_virial_of_springs():
    """Minus k times the matrix of second moments, over pairs; symmetric."""
    pos, strain = torch.randn(4, 3), torch.zeros(1, 3, 3, requires_grad=True)
    strained, _ = apply_strain(pos.requires_grad_(), None, strain, torch.zeros(4, dtype=torch.long))
    _, virial = energy_gradients(springs(strained), pos, strain)
    vec = (pos.unsqueeze(0) - pos.unsqueeze(1)).detach()
    expected = -0.5 * SPRING * torch.einsum("ija,ijb->ab", vec, vec)
    torch.testing.assert_close(virial[0], expected, rtol=1e-4, atol=1e-4)


def test_results_carry_a_graph_on_request(water):
    pos = water.pos.requires_grad_()
    forces, _ = energy_gradients(springs(pos) ** 2, pos, create_graph=True)
    (second,) = torch.autograd.grad(forces.square().sum(), pos)
    assert second.isfinite().all()
    assert second.abs().max() > 0.0


@pytest.mark.parametrize("create_graph", [False, True])
def test_energy_that_does_not_depend_on_positions(water, create_graph):
    """No edges: zeros, with or without parameters in the energy."""
    pos, strain = water.pos.requires_grad_(), torch.zeros(1, 3, 3, requires_grad=True)
    weight = torch.ones(1, requires_grad=True)
    for energy in (torch.ones(1), 2.0 * weight):
        forces, virial = energy_gradients(energy, pos, strain, create_graph=create_graph)
        assert torch.equal(forces, torch.zeros(3, 3))
        assert torch.equal(virial, torch.zeros(1, 3, 3))


def test_stress_is_minus_virial_over_volume_whatever_the_handedness():
    cell = torch.diag(torch.tensor([2.0, 3.0, 4.0])).unsqueeze(0)
    virial = torch.arange(9.0).reshape(1, 3, 3)
    periodic = torch.ones(1, 3, dtype=torch.bool)
    for sign in (1.0, -1.0):
        torch.testing.assert_close(stress_from_virial(virial, sign * cell, periodic), -virial / 24.0)


def test_stress_has_the_sign_of_ase(dtype):
    """A stretched crystal pulls back: positive stress on the diagonal, as dE/dstrain / V."""
    pos, cell = torch.zeros(1, 3, requires_grad=True), 2.0 * torch.eye(3).unsqueeze(0)
    strain = torch.zeros(1, 3, 3, requires_grad=True)
    _, strained = apply_strain(pos, cell, strain, torch.zeros(1, dtype=torch.long))
    lengths = strained[0].norm(dim=-1)
    energy = (0.5 * SPRING * (lengths - 1.9) ** 2).sum().reshape(1)
    _, virial = energy_gradients(energy, pos, strain)
    stress = stress_from_virial(virial, cell, torch.ones(1, 3, dtype=torch.bool))
    torch.testing.assert_close(stress[0], SPRING * 0.1 * 2.0 / 8.0 * torch.eye(3))


def test_rows_without_stress_are_nan():
    cell = torch.eye(3).repeat(5, 1, 1)
    cell[4, 2] = 0.0  # a slab without a height
    pbc = torch.tensor([[True] * 3, [True, True, False], [False] * 3, [True, False, False], [True, True, False]])
    stress = stress_from_virial(torch.ones(5, 3, 3), cell, pbc)
    assert stress.isnan().flatten(1).all(dim=1).tolist() == [False, False, True, True, True]
    assert stress[:2].isfinite().all()


def test_no_structure_with_a_stress():
    with pytest.raises(
        ValueError, match="'stress' needs a structure that is periodic in two or three directions, in a cell with a"
    ):
        stress_from_virial(torch.ones(1, 3, 3), torch.eye(3).unsqueeze(0), torch.zeros(1, 3, dtype=torch.bool))
