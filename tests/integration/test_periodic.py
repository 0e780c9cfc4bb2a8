"""Periodic structures against the same physics without a periodic cell: explicit images, vacuum, supercells."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import ase.io
import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_mpnn import Potential
from pyg_mpnn.data import to_data

CUTOFF, LAYERS = 3.5, 2
REACH = (LAYERS + 1) * CUTOFF  # how far an atom's energy sees: the density of a neighbour counts in every layer
SMALL: dict[str, Any] = {"cutoff": CUTOFF, "num_layers": LAYERS, "hidden_channels": 16, "edge_dim": 8, "channels": 4}
INVARIANTS = ("receiver", "sender", "pair")
ASSETS = Path(__file__).parents[1] / "data" / "assets"
CELLS = {
    "smaller than the cutoff": [[0.0, 2.7, 2.7], [2.7, 0.0, 2.7], [2.7, 2.7, 0.0]],
    "triclinic": [[3.9, 0.0, 0.0], [1.7, 4.1, 0.0], [-1.2, 0.9, 3.6]],
    "left-handed": [[0.0, 3.5, 0.3], [3.3, 0.0, 0.0], [0.5, 0.0, 3.4]],
    "thin": [[2.3, 0.0, 0.0], [0.4, 3.6, 0.0], [0.0, 0.7, 3.4]],
}
PERIODIC = {"crystal": [True, True, True], "slab": [True, True, False], "wire": [True, False, False]}


def make_potential(**changes: Any) -> Potential:
    torch.manual_seed(1)
    potential = Potential.from_size("base", **{**SMALL, "invariants": INVARIANTS, **changes}).double().eval()
    potential.representation.set_neighbors([10.0])
    return potential


def make_structure(cell: str, pbc: list[bool]) -> Data:
    """Two different atoms, the first of them outside the cell."""
    lattice = torch.tensor(CELLS[cell], dtype=torch.float64)
    pos = torch.tensor([[-0.2, 0.1, 0.2], [0.25, 0.3, 0.5]], dtype=torch.float64) @ lattice
    return Data(z=torch.tensor([14, 6]), pos=pos, cell=lattice[None], pbc=torch.tensor([pbc]))


def explicit(potential: Potential, data: Data) -> tuple[Tensor, Tensor, Tensor]:
    """Energy, forces and strain derivative from an open cluster of all images that an atom of the cell can see."""
    lattice, pbc = data.cell[0], data.pbc[0].tolist()
    heights = 1.0 / torch.linalg.inv(lattice).norm(dim=0)
    counts = [int(REACH / height) + 3 if periodic else 0 for height, periodic in zip(heights, pbc, strict=True)]
    shifts = torch.tensor(list(itertools.product(*(range(-n, n + 1) for n in counts)))).double()
    shifts = shifts[shifts.abs().sum(1).argsort(stable=True)]  # the cell itself first
    pos = data.pos.clone().requires_grad_()
    strain = torch.zeros(3, 3, dtype=torch.float64, requires_grad=True)
    images = ((shifts @ lattice)[:, None] + pos) @ (torch.eye(3).double() + (strain + strain.T) / 2)
    near = (images.detach()[:, :, None] - data.pos).norm(dim=-1).amin(-1) < REACH + 0.5
    assert near[0].all()
    z = data.z.expand(len(shifts), -1)[near]
    energy = potential(z, images[near], forces=False).atom_energies[: len(data.z)].sum()
    gradient, derivative = torch.autograd.grad(energy, [pos, strain])
    return energy.detach(), -gradient, derivative


@pytest.mark.parametrize("options", [{}, {"attention": "softmax"}], ids=["contracted", "softmax"])
@pytest.mark.parametrize("periodic", PERIODIC)
@pytest.mark.parametrize("cell", CELLS)
def test_equal_to_explicit_images(cell: str, periodic: str, options: dict[str, Any]) -> None:
    potential = make_potential(**options)
    data = make_structure(cell, PERIODIC[periodic])
    energy, forces, derivative = explicit(potential, data)
    found = potential(data)
    torch.testing.assert_close(found.energy[0], energy, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(found.forces, forces, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(-potential.virial(data)[0], derivative, rtol=1e-8, atol=1e-10)
    assert min(forces.abs().max(), derivative.abs().max()) > 1e-4, "control: there is something to compare"
    if all(PERIODIC[periodic]):
        stress = potential(data, stress=True).stress[0]
        torch.testing.assert_close(stress * torch.linalg.det(data.cell[0]).abs(), derivative, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("periodic", ["slab", "wire"])
@pytest.mark.parametrize("cell", CELLS)
def test_vacuum_makes_a_crystal_a_slab_or_wire(cell: str, periodic: str) -> None:
    potential = make_potential()
    data = make_structure(cell, PERIODIC[periodic])
    open_directions = ~data.pbc[0]
    apart = data.clone()
    apart.cell = torch.where(open_directions[:, None], 20.0 * data.cell[0], data.cell[0])[None]
    apart.pbc = torch.ones(1, 3, dtype=torch.bool)
    expected, found = potential(apart), potential(data)
    torch.testing.assert_close(found.energy, expected.energy)
    torch.testing.assert_close(found.forces, expected.forces)
    torch.testing.assert_close(potential.virial(data), potential.virial(apart))
    crystal = potential(Data(z=data.z, pos=data.pos, cell=data.cell, pbc=apart.pbc))
    assert (crystal.forces - found.forces).abs().max() > 1e-4, "control: the open directions matter"


@pytest.mark.parametrize("frame", [0, 1], ids=["surface in a thin cell", "another"])
def test_surfaces_of_real_silicon_need_no_third_direction(frame: int) -> None:
    """Two of mlearn's surfaces, cells of 3.9 A along the surface and some 25 A of vacuum: the slab is the crystal."""
    potential = make_potential(cutoff=5.0)
    data = to_data(ase.io.read(ASSETS / "si.extxyz", frame))
    slab = data.clone()
    slab.pbc = torch.tensor([[True, True, False]])
    found, expected = potential(slab), potential(data)
    torch.testing.assert_close(found.energy, expected.energy)
    torch.testing.assert_close(found.forces, expected.forces)


@pytest.mark.parametrize("repeat", [(3, 1, 1), (2, 2, 2), (1, 2, 4)])
def test_supercells_have_the_same_forces_and_stress(repeat: tuple[int, int, int]) -> None:
    potential = make_potential()
    data = make_structure("smaller than the cutoff", PERIODIC["crystal"])
    shifts = torch.tensor(list(itertools.product(*map(range, repeat)))).double()
    pos = (data.pos + (shifts @ data.cell[0])[:, None]).flatten(0, 1)
    cell = data.cell * torch.tensor(repeat)[:, None]
    large = potential(data.z.repeat(len(shifts)), pos, cell=cell, pbc=data.pbc, stress=True)
    small = potential(data, stress=True)
    torch.testing.assert_close(large.energy, len(shifts) * small.energy)
    torch.testing.assert_close(large.forces, small.forces.repeat(len(shifts), 1))
    torch.testing.assert_close(large.stress, small.stress)


@pytest.mark.parametrize(
    "options",
    [
        {"directions": "contracted"},
        {"directions": "contracted", "attention": "softmax", "heads": 2},
        {"directions": "radial"},
        {"directions": "raw"},
    ],
    ids=["contracted", "contracted, softmax", "radial", "raw"],
)
def test_hessian_of_perfect_diamond(options: dict[str, Any]) -> None:
    """Directional sums vanish at a site of diamond; their lengths would have no derivative there.

    All second derivatives with respect to positions are finite, symmetric, and those of numerical differences.
    """
    symmetry = "unconstrained" if options["directions"] == "raw" else "invariant"
    invariants = {} if options["directions"] != "contracted" else {"invariants": INVARIANTS}
    torch.manual_seed(1)
    potential = Potential.from_size("base", **SMALL, **options, **invariants, symmetry=symmetry).double().train()
    cell = 5.43 / 2 * (1 - torch.eye(3).double())
    pos = torch.stack([torch.zeros(3).double(), cell.sum(0) / 4]).requires_grad_()
    z, pbc = torch.tensor([14, 14]), torch.ones(1, 3, dtype=torch.bool)

    def forces(pos: Tensor) -> Tensor:
        return potential(z, pos, cell=cell[None], pbc=pbc).forces.flatten()

    hessian = -torch.autograd.functional.jacobian(forces, pos).reshape(6, 6)
    assert torch.isfinite(hessian).all()
    assert hessian.abs().max() > 1e-3
    torch.testing.assert_close(hessian, hessian.T, rtol=1e-8, atol=1e-10)
    h, numeric = 1e-4, []
    with torch.no_grad():
        for direction in torch.eye(6).double().reshape(6, 2, 3):
            numeric.append((forces(pos - h * direction) - forces(pos + h * direction)) / (2 * h))
    torch.testing.assert_close(hessian, torch.stack(numeric), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("attention", ["softmax", "sigmoid", None])
@pytest.mark.parametrize("shell", [1, 6], ids=["dimer", "all six neighbours at once"])
def test_neighbours_leave_smoothly(attention: str | None, shell: int) -> None:
    """Energy and force across the cutoff: no jump, and a force that vanishes towards it, also of the last neighbour."""
    potential = make_potential(attention=attention)
    directions = torch.cat([torch.eye(3), -torch.eye(3)]).double()[:shell]

    def state(dist: float) -> tuple[float, float]:
        pos = torch.cat([torch.zeros(1, 3).double(), dist * directions])
        found = potential(torch.tensor([14] + [6] * shell), pos)
        return found.energy.item(), found.forces[1:].abs().max().item()

    (apart, nothing), (beyond, none) = state(2 * CUTOFF), state(CUTOFF + 1e-9)
    assert (beyond, none, nothing) == (apart, 0.0, 0.0)
    inside = {gap: state(CUTOFF - gap) for gap in (1.0, 1e-2, 1e-3)}
    assert abs(inside[1.0][0] - apart) > 1e-4, "control: there is an interaction"
    for gap in (1e-2, 1e-3):  # the polynomial cutoff vanishes as gap^3 and its slope as gap^2
        assert abs(inside[gap][0] - apart) < 10 * gap**3 * max(abs(inside[1.0][0] - apart), 1e-2)
        assert inside[gap][1] < 30 * gap**2 * max(inside[1.0][1], 1e-2)
