"""ProductMPNN in a potential: the laws of physics, arguments it refuses, files, and what each path adds."""

from __future__ import annotations

import functools

import pytest
import torch
from torch_geometric.data import Data

import pyg_mpnn
from pyg_mpnn import Potential, ProductMPNN, neighbor_list, testing

SMALL = {"cutoff": 4.0, "hidden_channels": 16, "channels": 4, "num_radial": 6}
COMPOSITIONS = {
    "default": {},
    "correlation 4": {"num_products": 2},
    "no products": {"num_products": 0},
    "l_max 3": {"l_max": 3},
    "one layer": {"num_layers": 1},
    "gaussian, bump": {"basis": "gaussian", "envelope": "bump"},
}


SMALLEST = {"l_max": 1, "hidden_channels": 8, "channels": 2, "num_radial": 4}  # to compile; products, and two layers


def make_potential(name="default"):
    torch.manual_seed(1)
    options = SMALLEST if name == "smallest" else COMPOSITIONS[name]
    potential = Potential(ProductMPNN(**{**SMALL, **options})).to(torch.get_default_dtype()).eval()
    potential.set_reference({1: -13.6, 6: -1029.0, 8: -2041.8, 9: -2700.0, 17: -12500.0, 35: -70000.0}, 1.0, [10.0])
    return potential


@pytest.fixture(params=COMPOSITIONS)
def potential(request, dtype):
    return make_potential(request.param)


def energies(potential):
    return lambda data: potential(data, forces=False).atom_energies.to(data.pos.dtype)


def forces(potential):
    return lambda data: potential(data).forces


def test_symmetries(potential, chiral, dtype):
    tolerance = 1e-10 if dtype == torch.float64 else 1e-3
    testing.assert_permutation_law(forces(potential), chiral, "nodes", tolerance=tolerance)
    testing.assert_translation_law(forces(potential), chiral, tolerance=tolerance)
    vector = torch.ones(3, dtype=torch.long)
    testing.assert_rotation_law(lambda d: forces(potential)(d).unsqueeze(-1), chiral, vector, tolerance=tolerance)
    testing.assert_inversion_law(lambda d: forces(potential)(d).unsqueeze(-1), chiral, vector, tolerance=tolerance)


def test_locality(potential, chiral, ethanol, dtype):
    tolerance = 1e-10 if dtype == torch.float64 else 1e-3
    nothing = Data(z=torch.zeros(0, dtype=torch.long), pos=torch.zeros(0, 3), num_nodes=0)
    atom = Data(z=torch.tensor([8]), pos=torch.zeros(1, 3))
    testing.assert_batch_law(forces(potential), [chiral, atom, ethanol, nothing], "nodes", tolerance=tolerance)
    testing.assert_far_parts_law(forces(potential), chiral, ethanol, "nodes", tolerance=tolerance)


@pytest.mark.parametrize("name", COMPOSITIONS)
@pytest.mark.parametrize("dtype", [torch.float64], indirect=True)
def test_forces_are_the_gradient(name, ethanol):
    potential = make_potential(name)
    testing.assert_forces_law(lambda data: potential(data)[:2], ethanol)
    testing.assert_momentum_law(potential(ethanol).forces)


@pytest.mark.parametrize("dtype", [torch.float64], indirect=True)
def test_products_see_angles_that_sums_do_not(ethanol):
    """Forces change by more than a percent when the products are taken away."""
    potential = make_potential()
    before = potential(ethanol).forces
    with torch.no_grad():
        for layer in potential.representation.layers:
            layer.products[0].of_products.weight.zero_()
    assert testing.deviation(potential(ethanol).forces, before) > 0.01


def test_every_parameter_is_used(ethanol, dtype):
    potential = make_potential().train()
    output = potential(ethanol)
    (output.forces.square().sum() + output.energy.sum().to(dtype)).backward()
    assert [name for name, weight in potential.named_parameters() if weight.grad is None or not weight.grad.any()] == [
        f"atomwise.heads.{head}.linears.1.bias" for head in range(2)
    ]  # which the subtraction of isolated atoms takes out


def test_a_file_keeps_it(tmp_path, ethanol, dtype):
    potential = make_potential("correlation 4")
    potential.save(tmp_path / "model.pt")
    loaded = Potential.load(tmp_path / "model.pt")
    assert repr(loaded) == repr(potential)
    assert torch.equal(loaded(ethanol).forces, potential(ethanol).forces)


def test_a_size_takes_it_by_name(ethanol, dtype):
    potential = Potential.from_size("base", **{"class": "ProductMPNN"}, **SMALL)
    assert isinstance(potential.representation, ProductMPNN)
    assert potential(ethanol).forces.isfinite().all()


@pytest.mark.slow
@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("dtype", [torch.float64], indirect=True)
@pytest.mark.parametrize(
    ("name", "trained"),
    [
        ("smallest", False),
        pytest.param("smallest", True, marks=pytest.mark.exhaustive),  # its gradients are compared where it is compiled
        pytest.param("default", False, marks=pytest.mark.exhaustive),
        pytest.param("default", True, marks=pytest.mark.exhaustive),
    ],
)
def test_compiled_equals_eager(ethanol, chiral, name, trained):
    eager = make_potential(name).train(trained)
    compiled = make_potential(name).train(trained).compile("on")
    for data in (ethanol, chiral):
        found, wanted = compiled(data), eager(data)
        torch.testing.assert_close(found.energy, wanted.energy)
        torch.testing.assert_close(found.forces, wanted.forces)
        if trained:
            for potential, output in ((compiled, found), (eager, wanted)):
                potential.zero_grad()
                output.forces.square().sum().backward()
            for (name, first), second in zip(compiled.named_parameters(), eager.parameters(), strict=True):
                if second.grad is not None:
                    torch.testing.assert_close(first.grad, second.grad, msg=name, rtol=1e-6, atol=1e-10)


def test_one_cutoff_only():
    with pytest.raises(ValueError, match="'cutoff' must be one radius"):
        ProductMPNN(cutoff=(3.0, 5.0))


def test_layers_and_names_must_make_sense():
    with pytest.raises(ValueError, match="'num_layers' must be at least 1, got 0"):
        ProductMPNN(num_layers=0)
    with pytest.raises(ValueError, match="'basis' must be one of"):
        ProductMPNN(basis="none")
    with pytest.raises(ValueError, match="'neighbors' must hold one finite mean number"):
        ProductMPNN().set_neighbors([1.0, 2.0])


def test_declared_symmetry_and_smoothness():
    assert ProductMPNN().symmetry == "invariant"
    assert ProductMPNN().smoothness == 2
    assert ProductMPNN(envelope="cosine").smoothness == 1


def test_receptive_field_is_the_distance_of_the_last_atom_with_an_effect(dtype):
    network = ProductMPNN(**{**SMALL, "cutoff": 3.0}, num_layers=2)
    dist = torch.tensor([0.0, 2.5, 5.0, 7.5])
    pos = torch.stack([dist, 0.1 * torch.rand(4), 0.1 * torch.rand(4)], dim=1).requires_grad_()
    edge_index = neighbor_list(pos.detach(), 3.0).edge_index
    features = network(torch.tensor([6, 1, 8, 6]), edge_index, pos[edge_index[0]] - pos[edge_index[1]])
    (slope,) = torch.autograd.grad(features[-1][0].sin().sum(), pos)
    felt = slope.abs().amax(dim=1) > 0
    assert felt.tolist() == [True, True, True, False]
    assert dist[2] < network.receptive_field == 6.0 < dist[3]


def test_parts_of_ones_own(tmp_path):
    potential = Potential(ProductMPNN(**SMALL, basis=functools.partial(pyg_mpnn.ExpNormalBasis, alpha=0.5)))
    potential.save(tmp_path / "model.pt")
    loaded = Potential.load(tmp_path / "model.pt")
    assert loaded.representation.radial.alpha == 0.5
    with pytest.raises(ValueError, match="'basis' must be one of"):
        ProductMPNN(basis="absent")
