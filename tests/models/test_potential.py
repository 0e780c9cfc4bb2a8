"""The laws of physics for every composition, the input it refuses, and files that keep it."""

from __future__ import annotations

import copy
import math
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch_geometric.data import Batch, Data

from pyg_mpnn import MLP, MPNN, MeanReadout, Potential, RadiusGraph, SoftmaxReadout, neighbor_list, testing
from pyg_mpnn.models.files import from_format_3

SMALL = {"hidden_channels": 16, "edge_dim": 8, "channels": 4, "num_layers": 2, "num_radial": 6}
COMPOSITIONS = {
    "contracted": {"attention": "sigmoid"},
    "three invariants": {"invariants": ("receiver", "sender", "pair")},
    "no attention": {"attention": None},
    "softmax": {"attention": "softmax", "heads": 2},
    "two scales": {"cutoff": (2.5, 4.0), "attention": "sigmoid"},
    "three scales, softmax": {"cutoff": (2.0, 3.0, 4.0), "attention": "softmax"},
    "l_max 0": {"l_max": 0},
    "l_max 3": {"l_max": 3},
    "radial": {"directions": "radial"},
    "gaussian": {"basis": "gaussian"},
    "exp_normal": {"basis": "exp_normal"},
    "cosine": {"envelope": "cosine"},
    "bump": {"envelope": "bump"},
    "learned readout": {"readout": "learned"},
    "last head": {"potential_heads": "last"},
}


def make_potential(name="contracted", **overrides):
    torch.manual_seed(1)
    options = {"cutoff": 4.0, **SMALL, **COMPOSITIONS[name], **overrides}
    potential = Potential.from_size("base", **options).to(torch.get_default_dtype()).eval()
    potential.representation.set_neighbors([10.0] * len(potential.cutoffs))
    return potential


def energies(potential):
    return lambda data: potential(data, forces=False).energy.to(data.pos.dtype)


def forces(potential):
    return lambda data: potential(data).forces


@pytest.fixture(params=COMPOSITIONS)
def potential(request, dtype):
    return make_potential(request.param)


@pytest.fixture
def tolerance(dtype):
    """Rounding of some ten thousand additions and products in a row."""
    return 1e-10 if dtype == torch.float64 else 1e-3


def test_symmetries(potential, chiral, tolerance):
    data = Data(z=chiral.z, pos=chiral.pos)
    testing.assert_permutation_law(energies(potential), data, "graphs", tolerance=tolerance)
    testing.assert_permutation_law(forces(potential), data, "nodes", tolerance=tolerance)
    testing.assert_translation_law(forces(potential), data, tolerance=tolerance)
    testing.assert_rotation_law(energies(potential), data, tolerance=tolerance)
    testing.assert_inversion_law(energies(potential), data, tolerance=tolerance)
    vector = torch.ones(3, dtype=torch.long)
    testing.assert_rotation_law(lambda d: forces(potential)(d).unsqueeze(-1), data, vector, tolerance=tolerance)


def test_symmetries_control(chiral, dtype):
    potential = make_potential(directions="raw", symmetry="unconstrained")
    with pytest.raises(AssertionError, match="rotation law"):
        testing.assert_rotation_law(energies(potential), chiral, tolerance=1e-3)


def test_locality(potential, chiral, ethanol, tolerance):
    atom, nothing = Data(z=torch.tensor([8]), pos=torch.zeros(1, 3)), Data(num_nodes=0)
    nothing.z, nothing.pos = torch.zeros(0, dtype=torch.long), torch.zeros(0, 3)
    structures = [chiral, atom, ethanol, nothing]
    testing.assert_batch_law(energies(potential), structures, "graphs", tolerance=tolerance)
    testing.assert_batch_law(forces(potential), structures, "nodes", tolerance=tolerance)
    testing.assert_far_parts_law(energies(potential), chiral, ethanol, "graphs", tolerance=tolerance)


@pytest.mark.parametrize("name", COMPOSITIONS)
@pytest.mark.parametrize("dtype", [torch.float64], indirect=True)
def test_forces_are_the_gradient(name, ethanol):
    potential = make_potential(name)
    testing.assert_forces_law(lambda data: potential(data)[:2], ethanol)
    testing.assert_momentum_law(potential(ethanol).forces)


@pytest.mark.parametrize("dtype", [torch.float64], indirect=True)
def test_forces_are_the_gradient_control(ethanol):
    potential = make_potential()
    with pytest.raises(AssertionError, match="forces law"):
        testing.assert_forces_law(lambda data: (potential(data).energy, 1.001 * potential(data).forces), ethanol)


@pytest.mark.parametrize("name", COMPOSITIONS)
@pytest.mark.parametrize("dtype", [torch.float64], indirect=True)
def test_smooth_at_every_cutoff(name):
    potential = make_potential(name)
    z = torch.tensor([6, 8, 1])
    rest = torch.tensor([[0.0, 0.0, 0.0], [0.0, 1.1, 0.3]])

    def pair(dist):
        pos = torch.zeros(2, 3) + dist * torch.tensor([[0.0, 0.0, 0.0], [0.36, 0.48, 0.8]])
        return potential(torch.tensor([6, 1]), pos, forces=False).energy

    testing.assert_cutoff_law(pair, potential.cutoff)
    for cutoff in potential.cutoffs:  # a third atom crosses; the forces of a hard cutoff would jump by their own size
        inside, outside = (
            potential(z, torch.cat([rest, torch.tensor([[cutoff + step, 0.0, 0.0]])])).forces for step in (-1e-6, 1e-6)
        )
        assert testing.deviation(inside, outside) < 1e-4


@pytest.mark.parametrize("dtype", [torch.float64], indirect=True)
@pytest.mark.parametrize(
    ("name", "pbc"),
    [
        ("contracted", [True] * 3),
        ("two scales", [True] * 3),
        ("softmax", [True] * 3),
        ("contracted", [True, False, True]),
    ],
)
def test_stress_is_the_strain_derivative(name, pbc, silicon):
    """Of crystals and, by the volume of the cell, of slabs."""
    potential = make_potential(name)
    silicon.pbc = torch.tensor([pbc])
    stress = potential(silicon, stress=True).stress[0]
    torch.testing.assert_close(stress, stress.T)
    volume = torch.linalg.det(silicon.cell[0]).abs()
    for row, column in ((0, 0), (0, 1), (2, 1)):

        def energy(size):
            strain = torch.zeros(3, 3)
            strain[row, column] += size / 2  # noqa: B023 (called at once)
            strain[column, row] += size / 2  # noqa: B023
            matrix = torch.eye(3) + strain
            moved = Data(z=silicon.z, pos=silicon.pos @ matrix, cell=silicon.cell @ matrix, pbc=silicon.pbc)
            return potential(moved, forces=False).energy[0]

        h = 1e-4
        slope = (8 * (energy(h) - energy(-h)) - energy(2 * h) + energy(-2 * h)) / (12 * h)
        torch.testing.assert_close(stress[row, column], slope / volume, rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float64], indirect=True)
def test_supercell_has_the_same_forces(silicon):
    potential = make_potential("two scales")
    single = potential(silicon, stress=True)
    pos = torch.cat([silicon.pos, silicon.pos + silicon.cell[0, 0]])
    cell = silicon.cell * torch.tensor([2.0, 1.0, 1.0]).view(1, 3, 1)
    double = potential(silicon.z.repeat(2), pos, cell=cell, pbc=silicon.pbc, stress=True)
    torch.testing.assert_close(double.energy, 2 * single.energy)
    torch.testing.assert_close(double.forces, single.forces.repeat(2, 1))
    torch.testing.assert_close(double.stress, single.stress)


def test_perfect_crystal_has_finite_second_derivatives(silicon, dtype):
    potential = make_potential().train()
    perfect = Data(z=silicon.z, pos=torch.stack([torch.zeros(3), silicon.cell[0].sum(0) / 4]), cell=silicon.cell)
    perfect.pbc = silicon.pbc
    output = potential(perfect, stress=True)
    (output.forces.sum() + output.stress.square().sum()).backward()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in potential.parameters())


@pytest.mark.parametrize("dtype", [torch.float64], indirect=True)
@pytest.mark.parametrize("name", ["contracted", "softmax", "two scales", "radial"])
def test_force_loss_gradient(name, ethanol):
    """The gradient of a loss on forces with respect to the weights, against numerical differences."""
    potential = make_potential(name).train()

    def loss():
        return potential(ethanol).forces.square().sum()

    loss().backward()
    torch.manual_seed(0)
    directions = {n: torch.randn_like(p) for n, p in potential.named_parameters() if p.grad is not None}
    parameters = dict(potential.named_parameters())
    expected = sum((parameters[n].grad * d).sum() for n, d in directions.items())

    def moved(size):
        with torch.no_grad():
            for n, d in directions.items():
                parameters[n].add_(d, alpha=size)
        value = loss().item()
        with torch.no_grad():
            for n, d in directions.items():
                parameters[n].sub_(d, alpha=size)
        return value

    h = 1e-5
    slope = (8 * (moved(h) - moved(-h)) - moved(2 * h) + moved(-2 * h)) / (12 * h)
    assert abs(slope - expected.item()) < 1e-5 * abs(slope)


def test_every_path_matters(ethanol, dtype):
    """Switching a part off changes the forces: otherwise the laws above would say nothing about it."""
    for name in ("contracted", "two scales", "softmax"):
        potential = make_potential(name)
        before = potential(ethanol).forces
        for kind in ("density", "attention", "messages"):
            changed = copy.deepcopy(potential)
            with torch.no_grad():
                for parameter_name, parameter in changed.named_parameters():
                    part = {"density": ".density", "attention": ".attention.", "messages": ".filter."}[kind]
                    if part in parameter_name:
                        parameter.zero_()
            assert testing.deviation(changed(ethanol).forces, before) > 0.01, (name, kind)


def test_edges_given_or_found_are_the_same(ethanol, silicon, dtype):
    potential = make_potential()
    for data in (ethanol, silicon):
        with_edges = RadiusGraph(potential.cutoff)(data.clone())
        torch.testing.assert_close(potential(with_edges).forces, potential(data).forces)


def test_plain_tensors_and_data_are_the_same(ethanol, water, dtype):
    potential = make_potential()
    batch = Batch.from_data_list([ethanol, water])
    torch.testing.assert_close(potential(batch.z, batch.pos, batch.batch).forces, potential(batch).forces)


def test_edges_beyond_the_cutoff_add_nothing(ethanol, dtype):
    potential = make_potential("two scales")
    edges = neighbor_list(ethanol.pos, 8.0)
    torch.testing.assert_close(
        potential(ethanol.z, ethanol.pos, edge_index=edges.edge_index, shifts=edges.shifts).forces,
        potential(ethanol).forces,
    )


def test_isolated_atom_has_its_own_energy(dtype):
    potential = make_potential()
    potential.set_reference({1: -13.6, 6: -1029.0}, scale=0.5)
    output = potential(torch.tensor([6, 1]), torch.tensor([[0.0, 0.0, 0.0], [9.0, 0.0, 0.0]]))
    own = [potential(torch.tensor([z]), torch.zeros(1, 3)).energy for z in (6, 1)]
    assert torch.isfinite(output.energy).all()
    assert torch.equal(output.forces, torch.zeros(2, 3))
    torch.testing.assert_close(output.energy, own[0] + own[1])
    assert abs(own[0].item() + 1029.0) < 5.0


def test_energy_is_exact_in_float64_beside_large_references(ethanol):
    potential = make_potential()
    bare = potential(ethanol).atom_energies
    potential.set_reference({1: -13.6, 6: -1000000.123456789, 8: -2041.0}, scale=1.0)
    reference = potential(ethanol).atom_energies - bare
    assert reference.dtype == torch.float64
    # two evaluations in float32 may differ in their last bit; float32 would miss the sum by 0.06
    assert abs(reference[0].item() + 1000000.123456789) < 1e-6


def test_reference_energies_stay_float64(dtype):
    potential = make_potential()
    potential.set_reference({1: 1 / 3}, scale=1.0)
    assert potential.float().half().double().atomwise.reference[1].item() == 1 / 3


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_forces_without_gradients(ethanol, mode):
    potential = make_potential()
    expected = potential(ethanol).forces
    with mode():
        data = Data(z=ethanol.z.clone(), pos=ethanol.pos.clone())
        torch.testing.assert_close(potential(data).forces, expected)
        assert not potential(data).forces.requires_grad


def test_results_carry_a_graph_only_in_training(ethanol):
    potential = make_potential()
    assert not potential(ethanol).forces.requires_grad
    assert potential.train()(ethanol).forces.requires_grad


def test_chemical_bonds_are_not_neighbours(ethanol):
    """PyG's QM9 keeps bonds in ``edge_index``; without ``shifts`` it does not say which pairs are near."""
    potential = make_potential()
    bonded = ethanol.clone()
    bonded.edge_index = torch.tensor([[0, 1], [1, 0]])
    assert torch.equal(potential(bonded).energy, potential(ethanol).energy)


def test_input_is_left_alone(ethanol):
    pos = ethanol.pos.clone()
    make_potential()(ethanol)
    assert torch.equal(ethanol.pos, pos)
    assert not ethanol.pos.requires_grad


def test_stress_of_mixed_batch_is_nan_for_the_molecule(silicon, dtype):
    potential = make_potential()
    molecule = Data(z=torch.tensor([1, 1]), pos=torch.tensor([[0.0, 0.0, 0.0], [0.7, 0.0, 0.0]]))
    molecule.cell, molecule.pbc = torch.zeros(1, 3, 3), torch.zeros(1, 3, dtype=torch.bool)
    stress = potential(Batch.from_data_list([silicon, molecule]), stress=True).stress
    assert torch.isfinite(stress[0]).all()
    assert torch.isnan(stress[1]).all()


def test_loss_on_the_stress_of_a_mixed_batch_has_finite_gradients(silicon):
    potential = make_potential().train()
    molecule = Data(z=torch.tensor([1, 1]), pos=torch.tensor([[0.0, 0.0, 0.0], [0.7, 0.0, 0.0]]))
    molecule.cell, molecule.pbc = torch.zeros(1, 3, 3), torch.zeros(1, 3, dtype=torch.bool)
    stress = potential(Batch.from_data_list([silicon, molecule]), stress=True).stress
    stress[stress.isfinite()].square().sum().backward()
    gradients = [p.grad for p in potential.parameters() if p.grad is not None]
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    assert any(gradient.any() for gradient in gradients)


def test_virial_can_be_trained(ethanol):
    potential = make_potential().train()
    potential.virial(ethanol).square().sum().backward()
    assert potential.representation.embedding.embedding.weight.grad.any()


@pytest.mark.parametrize("dtype", [torch.float64], indirect=True)
def test_virial_of_molecule_is_the_strain_derivative(ethanol):
    potential = make_potential()
    virial = potential.virial(ethanol)[0]
    output = potential(ethanol)
    # the virial of an open system is the first moment of the forces
    moment = output.forces.T @ ethanol.pos
    torch.testing.assert_close(virial, (moment + moment.T) / 2)


# Copies and files


def test_copies(ethanol, dtype):
    testing.assert_copies_law(make_potential, lambda module: module(ethanol).forces)
    testing.assert_reset_law(make_potential())


def test_dtype_is_kept_and_moved(ethanol):
    potential = make_potential()
    assert potential(ethanol).forces.dtype == torch.float32
    assert potential.double()(ethanol).forces.dtype == torch.float64
    assert potential(ethanol).energy.dtype == torch.float64


@pytest.mark.parametrize("name", ["contracted", "two scales", "learned readout", "last head"])
def test_save_and_load(name, ethanol, dtype, tmp_path):
    potential = make_potential(name)
    potential.set_reference({1: -1.0, 6: -2.0, 8: -3.0}, 0.5, [5.0] * len(potential.cutoffs))
    potential.save(tmp_path / "potential.pt")
    loaded = Potential.load(tmp_path / "potential.pt")
    assert torch.equal(loaded(ethanol).forces, potential(ethanol).forces)
    assert torch.equal(loaded(ethanol).energy, potential(ethanol).energy)
    assert (loaded.elements, loaded.dtype, loaded.training) == ((1, 6, 8), dtype, False)
    assert not list(tmp_path.glob("*.tmp"))


# What is refused


class Composed(nn.Module):
    """A representation of the user's own, radial and one layer."""

    cutoff, out_channels, num_layers = 4.0, 4, 1

    def __init__(self, symmetry):
        super().__init__()
        self.embedding = nn.Embedding(119, 4)
        self.symmetry = symmetry

    def forward(self, z, edge_index, edge_vec):
        weight = (1 - edge_vec.square().sum(-1, keepdim=True) / self.cutoff**2).clamp(min=0) ** 3
        x = self.embedding(z)
        return [x.index_add(0, edge_index[1], weight * x[edge_index[0]])]


def test_own_representation(ethanol, dtype, tmp_path):
    potential = Potential(Composed("invariant"))
    testing.assert_rotation_law(energies(potential), ethanol)
    potential.set_reference({1: 0.0, 6: 0.0, 8: 0.0}, 1.0, [5.0])  # no set_neighbors: nothing to set
    potential.save(tmp_path / "own.pt")
    loaded = Potential.load(tmp_path / "own.pt", trust=[Composed])
    assert torch.equal(loaded(ethanol).forces, potential.eval()(ethanol).forces)


def test_raw_directions_are_refused():
    with pytest.raises(ValueError, match="'representation' must be invariant, got one that declares 'unconstrained'"):
        Potential(MPNN(directions="raw", **SMALL))
    with pytest.raises(ValueError, match="must be invariant"):
        Potential(Composed("equivariant"))
    assert Potential(MPNN(directions="raw", **SMALL), symmetry="unconstrained").symmetry == "unconstrained"


@pytest.mark.parametrize("readout", [MeanReadout(), SoftmaxReadout(16)])
def test_intensive_readouts_are_refused(readout):
    with pytest.raises(ValueError, match="'readout' must be extensive for energies, got"):
        Potential(MPNN(**SMALL), readout=readout)


@pytest.mark.usefixtures("unchecked")
def test_head_of_ones_own_is_kept_by_the_file(tmp_path, water):
    own = MLP([16, 7, 1], nn.Tanh(), bias=False)
    potential = Potential(MPNN(**SMALL), heads="last", head=own).eval()
    assert potential.head is own
    potential.save(tmp_path / "own.pt")
    loaded = Potential.load(tmp_path / "own.pt")
    assert repr(loaded.head) == repr(own)
    assert loaded.head.linears[0].bias is None
    torch.testing.assert_close(loaded(water).energy, potential(water).energy, rtol=0.0, atol=0.0)
    assert Potential(MPNN(**SMALL)).head is None
    named = {"class": "MLP", "channels": [16, 7, 1], "activation": {"class": "torch.nn:Tanh"}}
    assert repr(Potential.from_size("base", **SMALL, potential_heads="last", head=named).head) == repr(own)


@pytest.mark.usefixtures("unchecked")
def test_construction_errors():
    with pytest.raises(TypeError, match=r"'representation' must have the attributes .* got Linear without cutoff"):
        Potential(nn.Linear(2, 2))
    with pytest.raises(
        TypeError, match=r"got Linear without cutoff"
    ):  # also with a repulsion, which asks for the cutoff
        Potential.from_size(representation="torch.nn:Linear", in_features=2, out_features=2, zbl=True)
    with pytest.raises(TypeError, match=r"'representation' must be a module, got the class Linear"):
        Potential.from_size(representation="torch.nn:Linear", zbl=True)
    with pytest.raises(TypeError, match=r"'outputs' must be a mapping {name: output}, got list"):
        Potential(MPNN(**SMALL), outputs=[])
    with pytest.raises(ValueError, match="'heads' must be 'all' or 'last', got 'first'"):
        Potential(MPNN(**SMALL), heads="first")
    with pytest.raises(ValueError, match=r"'size' must be one of .* got 'huge'"):
        Potential.from_size("huge")
    with pytest.raises(ValueError, match=r"'readout' must be one of .*, got 'mean'"):
        Potential.from_size("small", readout="mean")
    with pytest.raises(ValueError, match="'symmetry' must be"):
        Potential(MPNN(**SMALL), symmetry="equivariant")


@pytest.mark.usefixtures("unchecked")
def test_bad_input_is_refused(ethanol, silicon):
    potential = make_potential()
    z, pos = ethanol.z, ethanol.pos
    wrong = pos.clone()
    wrong[3, 1] = math.nan
    together = pos.clone()
    together[1] = together[0]
    with pytest.raises(ValueError, match=r"'pos' must be finite, .* for atom 3"):
        potential(z, wrong)
    with pytest.raises(ValueError, match="atoms"):
        potential(z, together)
    with pytest.raises(TypeError, match="'pos' must be given"):
        potential(z)
    with pytest.raises(TypeError, match="'z' must hold whole numbers"):
        potential(z.float(), pos)
    with pytest.raises(ValueError, match=r"'z' must have shape \(nodes,\) = \(9,\), as 'pos' says, got \(4,\)"):
        potential(z[:4], pos)
    with pytest.raises(TypeError, match="must not be given beside a PyG object"):
        potential(ethanol, pos)
    with pytest.raises(ValueError, match=r"'batch' must have shape \(nodes,\) = \(9,\), got \(3,\)"):
        potential(z, pos, torch.zeros(3, dtype=torch.long))
    with pytest.raises(ValueError, match=r"'z' must hold atomic numbers 1\.\.118, got values from 0 to 119"):
        potential(torch.tensor([0, 119]), pos[:2])
    with pytest.raises(ValueError, match="'cell' must be given with periodic directions"):
        potential(z, pos, pbc=torch.ones(3, dtype=torch.bool))
    periodic = torch.ones(3, 3, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"'pbc' must have shape \(3,\) or \(2, 3\), got \(3, 3\)"):
        potential(z, pos, torch.zeros_like(z), torch.eye(3).repeat(2, 1, 1), periodic)
    with pytest.raises(ValueError, match="'edge_index' must have the shape"):
        potential(z, pos, edge_index=torch.zeros(3, 2, dtype=torch.long))
    with pytest.raises(ValueError, match="'edge_index' must hold atoms 0 to 8, got 0 to 9"):
        potential(z, pos, edge_index=torch.tensor([[0], [9]]))
    with pytest.raises(ValueError, match="'pos' must keep atoms apart, got atoms 1 and 0 at one place"):
        potential(z, together, edge_index=torch.tensor([[0, 2], [1, 1]]))
    with pytest.raises(ValueError, match="'cell' must be finite"):
        potential(z, pos, cell=torch.full((3, 3), math.nan), pbc=periodic[0], edge_index=torch.tensor([[0], [1]]))
    with pytest.raises(ValueError, match="'shifts' must have the shape"):
        potential(z, pos, edge_index=torch.tensor([[0], [1]]), shifts=torch.zeros(2, 3))
    with pytest.raises(ValueError, match="'shifts' must be given with the edges of a periodic structure"):
        potential(silicon.z, silicon.pos, cell=silicon.cell, pbc=silicon.pbc, edge_index=torch.tensor([[0], [1]]))
    with pytest.raises(ValueError, match="'stress' needs a structure that is periodic in two or three directions"):
        potential(ethanol, stress=True)
    wire = Data(z=silicon.z, pos=silicon.pos, cell=silicon.cell, pbc=torch.tensor([[True, False, False]]))
    with pytest.raises(ValueError, match="molecules and wires have a virial and no stress"):
        potential(wire, stress=True)


def test_unknown_elements_are_refused(ethanol):
    potential = make_potential()
    potential.set_reference({1: 0.0, 6: 0.0}, 1.0)
    with pytest.raises(ValueError, match=r"'z' must hold elements the model was trained on \(\[1, 6\]\), got \[8\]"):
        potential(ethanol)


def test_set_reference_errors():
    potential = make_potential()
    with pytest.raises(ValueError, match="'energies' must hold a finite energy"):
        potential.set_reference({1: math.nan}, 1.0)
    with pytest.raises(ValueError, match="'scale' be positive"):
        potential.set_reference({1: 0.0}, 0.0)
    with pytest.raises(ValueError, match="'energies' must have atomic numbers"):
        potential.set_reference({0: 0.0}, 1.0)
    with pytest.raises(ValueError, match="'neighbors' must hold one finite mean number"):
        potential.set_reference({1: 0.0}, 1.0, [1.0, 2.0])


ELEMENTS = {1: -13.6, 6: -1029.0, 8: -2041.8}


@pytest.fixture(params=["contracted", "two scales", "softmax", "learned readout", "last head"])
def with_reference(request, dtype):
    potential = make_potential(request.param)
    potential.set_reference(ELEMENTS, scale=3.0)
    return potential


def test_an_isolated_atom_has_its_reference_energy(with_reference):
    """To the last bit: the two numbers that cancel come from one evaluation."""
    for element, energy in ELEMENTS.items():
        output = with_reference(torch.tensor([element]), torch.zeros(1, 3))
        exact = output.forces.dtype == torch.float64
        assert output.energy.item() == pytest.approx(energy, abs=1e-12 if exact else 1e-5)
        assert not output.forces.any()


def test_an_isolated_atom_has_its_reference_energy_control(dtype):
    potential = make_potential(isolated="free")
    potential.set_reference(ELEMENTS, scale=3.0)
    assert abs(potential(torch.tensor([6]), torch.zeros(1, 3)).energy.item() - ELEMENTS[6]) > 0.01


def test_isolated_atoms_change_no_force(with_reference, ethanol, tolerance):
    free = Potential.from_config({**with_reference.config, "isolated": "free"}).to(ethanol.pos.dtype).eval()
    free.load_state_dict(with_reference.state_dict())
    wanted, found = free(ethanol), with_reference(ethanol)
    assert testing.deviation(found.forces, wanted.forces) < tolerance
    alone = sum((free(torch.tensor([z]), torch.zeros(1, 3)).energy - ELEMENTS[z]).item() for z in ethanol.z.tolist())
    assert (wanted.energy - found.energy).item() == pytest.approx(alone, abs=100 * tolerance)


def test_energy_goes_to_the_reference_as_the_last_neighbour_leaves(with_reference, dtype):
    limit = ELEMENTS[6] + ELEMENTS[8]
    differences = []
    for dist in (0.9, 0.99, 0.999, 1.001):
        pos = torch.tensor([[0.0, 0.0, 0.0], [0.36, 0.48, 0.8]]) * dist * with_reference.cutoff
        differences.append(abs(with_reference(torch.tensor([6, 8]), pos, forces=False).energy.item() - limit))
    rounding = 1e-10 if dtype == torch.float64 else 1e-4
    assert differences[3] < rounding
    for near, far in pairwise(differences[:3]):  # the cutoff function falls as the cube of what is left
        assert far < max(near / 100, rounding)


def test_isolated_is_free_in_files_made_before():
    config = from_format_3({"mpnn": {"cutoff": [4.0], "hidden_channels": 16}, "heads": "all"})
    assert Potential.from_config(config).isolated == "free"


@pytest.mark.usefixtures("unchecked")
def test_isolated_is_one_of_two():
    with pytest.raises(ValueError, match=r"'isolated' must be one of \('zero', 'free'\), got 'none'"):
        Potential(isolated="none")
