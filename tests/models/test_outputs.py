"""Outputs besides the energy: laws, totals, files, and what is refused. float32 and float64."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Batch, Data

from pyg_mpnn import (
    MPNN,
    ChargesOutput,
    DipoleLengthOutput,
    DipoleOutput,
    Output,
    PolarizabilityOutput,
    Potential,
    RadiusGraph,
    ScalarOutput,
    SpatialExtentOutput,
    SumPotential,
    load_potential,
    testing,
)
from pyg_mpnn.deploy.tracing import Outputs
from pyg_mpnn.models.outputs import AtomwiseOutput
from pyg_mpnn.models.structure import read_structure

TINY = {"hidden_channels": 16, "edge_dim": 8, "channels": 4, "num_layers": 2}
KINDS = {
    "gap": lambda: ScalarOutput(extensive=False, unit="eV"),
    "alpha": lambda: ScalarOutput(),
    "shift": lambda: ScalarOutput(level="atom"),
    "mu": DipoleLengthOutput,
    "r2": SpatialExtentOutput,
    "charges": ChargesOutput,
    "dipole": DipoleOutput,
    "polarizability": PolarizabilityOutput,
}
ELEMENTS = {1: 0.3, 6: -1.0, 8: 2.0, 14: 0.1}


def make(*names: str, energy: bool = True) -> Potential:
    """A model with random weights in the default dtype."""
    torch.manual_seed(0)
    outputs = {name: KINDS[name]() for name in names or KINDS}
    model = Potential.from_size("small", **TINY, outputs=outputs, energy=energy).to(torch.get_default_dtype()).eval()
    for output in model.outputs.values():
        output.atomwise.set_reference(ELEMENTS, 1.5)
    if energy:
        model.set_reference(ELEMENTS, 1.5, [6.0])
    return model


class NotATensor(DipoleOutput):
    """Control: a dipole whose second atom counts once more, along x alone."""

    def forward(self, features, structure):
        return super().forward(features, structure) + features.x[-1][1, :1].double() * torch.tensor([1.0, 0.0, 0.0])


def spherical(tensor: torch.Tensor) -> torch.Tensor:
    """Components of degree 2 of symmetric tensors, in e3nn's order."""
    xx, xy, xz, yy, yz, zz = (tensor[:, a, b] for a, b in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)))
    return torch.stack([xz, xy, (2 * yy - xx - zz) / 12**0.5, yz, (zz - xx) / 2], dim=1)


@pytest.mark.parametrize("name", ["gap", "alpha", "mu", "r2"])
def test_scalars_keep_all_symmetries(name, chiral, dtype):
    model = make()
    for output in model.outputs.values():
        output.atomwise.set_reference(dict.fromkeys([1, 6, 9, 17, 35], 0.2), 1.0)
    model.set_reference(dict.fromkeys([1, 6, 9, 17, 35], 0.2), 1.0)

    def value(data):
        return model(data, forces=False)[name].to(dtype)

    testing.assert_rotation_law(value, chiral)
    testing.assert_inversion_law(value, chiral)
    testing.assert_translation_law(value, chiral)
    testing.assert_permutation_law(value, chiral, "graphs")
    moved = chiral.clone()
    moved.pos[1] += 0.5
    assert (value(moved) - value(chiral)).abs().item() > 1e-3, "control"


@pytest.mark.parametrize("name", ["charges", "shift"])
def test_values_of_atoms_keep_all_symmetries(name, ethanol, dtype):
    model = make(name)
    testing.assert_rotation_law(lambda data: model(data)[name].to(dtype), ethanol)
    testing.assert_permutation_law(lambda data: model(data)[name].to(dtype), ethanol, "nodes")
    assert model(ethanol)[name].std() > 1e-3, "control"


def test_dipole_and_polarizability_turn_with_the_molecule(ethanol, dtype):
    model = make("dipole", "polarizability")
    for name, degree, components in (("dipole", 1, lambda x: x), ("polarizability", 2, spherical)):
        degrees = torch.full((2 * degree + 1,), degree)

        def value(data, name=name, components=components):
            return components(model(data, forces=False)[name]).to(dtype)

        testing.assert_rotation_law(value, ethanol, degrees)
        testing.assert_inversion_law(value, ethanol, degrees)
        testing.assert_translation_law(value, ethanol)
        with pytest.raises(AssertionError, match="rotation law"):
            testing.assert_rotation_law(value, ethanol)  # control: it is not invariant
    trace = model(ethanol).polarizability.diagonal(dim1=1, dim2=2).sum()
    assert trace.abs() > 1e-3
    torch.testing.assert_close(model(ethanol).polarizability, model(ethanol).polarizability.mT)


def test_a_broken_dipole_is_seen(ethanol, dtype):
    torch.manual_seed(0)
    model = Potential.from_size("small", **TINY, outputs={"dipole": NotATensor()}).to(dtype).eval()
    with pytest.raises(AssertionError, match="rotation law"):
        testing.assert_rotation_law(lambda data: model(data).dipole.to(dtype), ethanol, torch.ones(3).long())


def test_batches_and_far_molecules_are_what_their_parts_are(ethanol, water, dtype):
    model = make()
    one, other = model(ethanol), model(water)
    graph = RadiusGraph(5.0)
    batch = model(Batch.from_data_list([graph(ethanol.clone()), graph(water.clone())]))
    tolerance = {"rtol": 1e-4, "atol": 1e-4} if dtype == torch.float32 else {"rtol": 1e-9, "atol": 1e-9}
    for name in KINDS:
        torch.testing.assert_close(batch[name], torch.cat([one[name], other[name]]), **tolerance)
    both = model(Data(z=torch.cat([ethanol.z, water.z]), pos=torch.cat([ethanol.pos, water.pos + 40.0])))
    for name in ("alpha", "polarizability"):
        torch.testing.assert_close(both[name], one[name] + other[name], **tolerance)
    torch.testing.assert_close(both.gap, (9 * one.gap + 3 * other.gap) / 12, **tolerance)
    torch.testing.assert_close(both.shift, torch.cat([one.shift, other.shift]), **tolerance)


def test_charges_add_up_to_the_total_charge(ethanol, dtype):
    model = make("charges", "dipole")
    assert model(ethanol).charges.sum().abs() < 1e-9
    ion = ethanol.clone()
    ion.charge = torch.tensor([-1.0])
    assert model(ion).charges.sum().item() == pytest.approx(-1.0)
    testing.assert_translation_law(lambda data: model(data).dipole.to(dtype), ion)
    difference = model(ion).dipole - model(ethanol).dipole  # -1/9 e at each atom, about the centre of mass
    masses = torch.tensor([12.011, 12.011, 15.999, *[1.008] * 6], dtype=torch.float64)[:, None]
    centre = (masses * ion.pos.double()).sum(0) / masses.sum()
    torch.testing.assert_close(difference[0], -(ion.pos.double() - centre).mean(0), rtol=1e-5, atol=1e-6)
    debye = Potential.from_size("small", **TINY, outputs={"dipole": DipoleOutput(unit="D")}).to(dtype)
    with pytest.raises(ValueError, match=r"'unit' of a dipole must be 'e\*A' for ions"):
        debye(ion)


def test_dipole_is_differentiated_by_positions(water, dtype):
    model = make("dipole").train()
    water.pos.requires_grad_()
    (gradient,) = torch.autograd.grad(model(water).dipole[0, 1], water.pos)
    step = 1e-2 if dtype == torch.float32 else 1e-4
    values = []
    for sign in (1, -1):
        moved = Data(z=water.z, pos=water.pos.detach().clone())
        moved.pos[1, 1] += sign * step
        values.append(model(moved).dipole[0, 1].item())
    assert gradient[1, 1].item() == pytest.approx((values[0] - values[1]) / (2 * step), rel=2e-2, abs=1e-3)


def test_energy_is_what_it_is_without_other_outputs(ethanol, dtype):
    model = make()
    alone = Potential.from_size("small", **TINY).to(dtype).eval()
    own = alone.state_dict()
    alone.load_state_dict({key: value for key, value in model.state_dict().items() if key in own})
    expected, found = alone(ethanol), model(ethanol)
    for one, other in zip(expected, found, strict=False):
        assert (one is None) == (other is None)
        assert one is None or torch.equal(one, other)
    energy, forces, stress, atom_energies = found
    assert energy is found["energy"]
    assert forces is found.forces
    assert stress is None
    assert atom_energies is found[3]
    assert found.names == ("energy", "forces", "atom_energies", *KINDS)
    assert not any(value.requires_grad for value in found.others.values())
    with pytest.raises(AttributeError, match=r"there is no output 'spin', only energy, .*polarizability"):
        _ = found.spin
    with pytest.raises(KeyError, match="there is no output 'stress'"):
        found["stress"]


@pytest.mark.parametrize("energy", [True, False])
def test_file_gives_the_same_model(energy, tmp_path, ethanol, dtype):
    model = make(energy=energy)
    model.save(tmp_path / "model.pt")
    loaded = load_potential(tmp_path / "model.pt")
    assert type(loaded) is Potential
    assert (loaded.config, loaded.dtype, loaded.has_energy) == (model.config, dtype, energy)
    expected, found = model(ethanol), loaded(ethanol)
    assert found.names == expected.names
    for name in expected.names:
        assert torch.equal(found[name], expected[name])


def test_model_without_energy(ethanol, water):
    model = make("gap", energy=False)
    output = model(ethanol)
    assert list(output) == [None] * 4
    assert output.names == ("gap",)
    assert model.elements == tuple(ELEMENTS)
    with pytest.raises(ValueError, match="'forces' and 'stress' need a model with an energy"):
        model(ethanol, forces=True)
    water.z[0] = 7
    with pytest.raises(ValueError, match=r"'z' must hold elements the model was trained on .*got \[7\]"):
        model(water)
    with pytest.raises(ValueError, match="'reference_energies' need a model with an energy"):
        model.set_reference({1: 0.0}, 1.0)


def test_outputs_of_a_sum_are_those_of_its_parts(ethanol, dtype):
    first, second = make("dipole", "gap"), make("dipole")
    total = SumPotential(first, second)
    found = total(ethanol)
    tolerance = {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(found.dipole, first(ethanol).dipole + second(ethanol).dipole, **tolerance)
    torch.testing.assert_close(found.gap, first(ethanol).gap, **tolerance)
    assert list(total.all_outputs()) == ["dipole", "gap"]
    with pytest.raises(ValueError, match="'potentials' must have energies, got one with gap alone"):
        SumPotential(make("gap", energy=False))
    other = Potential(MPNN(**TINY), outputs={"dipole": DipoleOutput(unit="D")})
    with pytest.raises(
        ValueError, match=r"must have one level, shape and unit, got .*'e\*A'\) and .*'D'\) for 'dipole'"
    ):
        SumPotential(first, other)


def test_what_cannot_be_an_output_is_refused(unchecked, silicon, water):
    for kind in (DipoleOutput, DipoleLengthOutput, SpatialExtentOutput):
        model = Potential.from_size("small", **TINY, outputs={"it": kind()})
        with pytest.raises(ValueError, match=r"'pbc' must be False for a .*, got a periodic structure"):
            model(silicon)
    assert make("alpha")(silicon).alpha.isfinite().all()
    with pytest.raises(ValueError, match="must have a density of degree 2 for PolarizabilityOutput"):
        Potential(MPNN(**TINY, l_max=1), outputs={"polarizability": PolarizabilityOutput()})
    with pytest.raises(ValueError, match="must have a density of degree 1 for DipoleOutput"):
        Potential(MPNN(**TINY, directions="radial"), outputs={"dipole": DipoleOutput()})
    with pytest.raises(ValueError, match="'dipole' turns with the structure and needs an invariant representation"):
        Potential(MPNN(**TINY, directions="raw"), symmetry="unconstrained", outputs={"dipole": DipoleOutput()})
    for name in ("energy", "charge", "a b", "keys"):
        with pytest.raises(ValueError, match="the name of an output must be an identifier other than"):
            Potential(MPNN(**TINY), outputs={name: ScalarOutput()})
    with pytest.raises(TypeError, match="'outputs' must hold outputs"):
        Potential(MPNN(**TINY), outputs={"gap": torch.nn.Linear(1, 1)})
    with pytest.raises(ValueError, match="'outputs' must hold at least one output where 'energy' is False"):
        Potential(MPNN(**TINY), energy=False)
    with pytest.raises(ValueError, match="'level' must be one of"):
        ScalarOutput(level="bond")
    with pytest.raises(ValueError, match="'loss' must be one of"):
        ScalarOutput(loss="mae")


class Count(Output):
    """An output of a user's own: the number of atoms of an element, with nothing to learn but a factor."""

    unit = "atoms"

    def __init__(self, element: int = 1) -> None:
        super().__init__()
        self.element = element
        self.factor = torch.nn.Parameter(torch.ones(()))

    def forward(self, features, structure):
        ones = (structure.z == self.element).double() * self.factor
        return ones.new_zeros(structure.num_graphs).index_add(0, structure.batch, ones)


class Misshapen(Count):
    def forward(self, features, structure):
        return super().forward(features, structure)[:, None]


class Coarse(Count):
    def forward(self, features, structure):
        return super().forward(features, structure).float()


def test_output_of_a_users_own(tmp_path, water, unchecked):
    model = Potential(MPNN(**TINY), outputs={"hydrogens": Count(1)}).eval()
    assert model(water).hydrogens.tolist() == [2.0]
    assert repr(Count(8)) == "Count(element=8)"
    model.save(tmp_path / "own.pt")
    with pytest.raises(ValueError, match="is code that is not of this package"):
        load_potential(tmp_path / "own.pt")
    loaded = load_potential(tmp_path / "own.pt", trust=[Count])
    assert loaded(water).hydrogens.tolist() == [2.0]
    wrong = Potential(MPNN(**TINY), outputs={"hydrogens": Misshapen()})
    with pytest.raises(TypeError, match=r"Misshapen.forward must return for 'hydrogens' .* shape \(1,\), got \(1, 1\)"):
        wrong(water)
    with pytest.raises(TypeError, match=r"Coarse.forward must return float64 for 'hydrogens', got torch.float32"):
        Potential(MPNN(**TINY), outputs={"hydrogens": Coarse()})(water)


def test_numbers_of_elements_are_found_again(ethanol, water):
    """Least squares of every linear output, with half of the references unknown."""
    generator = torch.Generator().manual_seed(0)
    frames = [
        Data(z=data.z, pos=data.pos + 0.1 * torch.randn(data.pos.shape, generator=generator))
        for data in (ethanol, water) * 4
    ]
    structure = read_structure(Batch.from_data_list(frames), None, None, None, None, None, None)
    values = torch.tensor([0.0, 0.3, *[0.0] * 4, 2.0, 0.0, -1.5], dtype=torch.float64)
    for name, make_output in KINDS.items():
        output = make_output()
        output.build(MPNN(**TINY))
        assert isinstance(output, AtomwiseOutput)
        if name == "mu":
            target = output.read(torch.randn(len(structure.z), dtype=torch.float64, generator=generator), structure)
            output.fit(structure, target)
            assert output.atomwise.reference[[1, 6, 8]].tolist() == [0.0] * 3
            assert output.guess(structure, target)[0] == target.mean()
            continue
        target = output.read(values[structure.z], structure)
        noisy = target + 1e-6 * torch.randn(target.shape, dtype=torch.float64, generator=generator)
        unknown = noisy.clone()
        unknown[::3] = torch.nan
        spread = output.fit(structure, unknown)
        assert 2e-7 < spread < 2e-6
        torch.testing.assert_close(output.guess(structure, unknown), target, rtol=1e-4, atol=1e-4)
        assert output.atomwise.elements == (1, 6, 8)
        with pytest.raises(ValueError, match="must differ in their targets"):
            output.fit(structure, target)
        with pytest.raises(ValueError, match="at least one reference value"):
            output.fit(structure, target * torch.nan)


@pytest.mark.parametrize("options", [{"memory": "low"}, {"forces": False}, {"compiled": True}])
def test_outputs_are_the_same_whatever_else_is_computed(options, ethanol, unchecked):
    model = make("dipole", "gap")
    expected = model(ethanol)
    if options.pop("compiled", False):

        def compiled(module, inputs, *, stress, trained):
            return Outputs(expected.atom_energies, expected.forces, None, torch.tensor(False))

        model.compiler = compiled
    found = model(ethanol, **options)
    torch.testing.assert_close(found.dipole, expected.dipole, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.gap, expected.gap, rtol=1e-5, atol=1e-5)
    assert model(ethanol, outputs=False, **options).names == tuple(found.names[:-2])


def test_outputs_are_trained_through_compiled_energies_too(ethanol, unchecked):
    model = make("dipole").train()
    eager = model(ethanol)
    model.compiler = lambda *_, **__: Outputs(eager.atom_energies, eager.forces, None, torch.tensor(False))
    (eager.forces.square().sum() + model(ethanol).dipole.square().sum()).backward()
    assert all(parameter.grad is not None for parameter in model.outputs.parameters())
