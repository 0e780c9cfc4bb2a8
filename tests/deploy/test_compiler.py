"""Compiled energies, forces, stress and gradients of the weights are the eager ones, whatever the sizes of a batch."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
import torch
from torch_geometric.data import Batch, Data

from pyg_mpnn import MPNN, GaussianBasis, Potential, RadiusGraph
from pyg_mpnn.deploy import compiler, generate
from pyg_mpnn.deploy.support import code_folder
from tests.deploy.stand_ins import charged

pytestmark = [
    pytest.mark.usefixtures("unchecked"),
    # torch's own, while it traces and compiles
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning"),
]
SMALL = {"hidden_channels": 8, "edge_dim": 4, "channels": 2, "num_layers": 1, "num_radial": 4, "l_max": 1}
CUTOFF = 4.0
# one composition for each thing that compiled code might treat in its own way
CASES = {
    "one scale": ({}, False),
    "two scales, softmax, learned readout": (
        {"cutoff": (2.0, CUTOFF), "attention": "softmax", "heads": 2, "readout": "learned"},
        False,
    ),
    "crystals, stress, sigmoid, product": ({"attention": "sigmoid", "zbl": True, "num_products": 1}, True),
}


def batches(periodic, ethanol, water, silicon, dtype):
    """Batches of every shape: one structure, one atom, atoms without neighbours, nothing, many."""
    generator = torch.Generator().manual_seed(0)

    def moved(data):
        copied = data.clone()
        copied.pos = data.pos.to(dtype) + 0.05 * torch.randn(data.pos.shape, generator=generator, dtype=dtype)
        if periodic:
            copied.cell = (12.0 * torch.eye(3, dtype=dtype))[None] if "cell" not in data else data.cell.to(dtype)
            copied.pbc = torch.ones(1, 3, dtype=torch.bool)
        return RadiusGraph(CUTOFF)(copied)

    lonely = Data(z=torch.tensor([8]), pos=torch.zeros(1, 3))
    empty = Data(z=torch.zeros(0, dtype=torch.long), pos=torch.zeros(0, 3))
    apart = Data(z=torch.tensor([1, 8]), pos=torch.tensor([[0.0, 0.0, 0.0], [5.5, 0.0, 0.0]]))
    first = silicon if periodic else water
    lists = [[first], [lonely], [apart], [ethanol, lonely], [water, empty], [water, ethanol] * 3, [first] * 9]
    return [Batch.from_data_list([moved(data) for data in structures]) for structures in lists]


def assert_equal(found, wanted, dtype):
    tolerance = {"rtol": 1e-9, "atol": 1e-10} if dtype == torch.float64 else {"rtol": 1e-4, "atol": 2e-5}
    for name, value in wanted._asdict().items():
        if value is None:
            assert getattr(found, name) is None
        else:
            torch.testing.assert_close(getattr(found, name), value, **tolerance, equal_nan=True, msg=name)


def fifty(structure):
    """Fifty batches, no two of one size, on both sides of 4096 edges."""
    for size in range(2, 52):
        yield Batch.from_data_list([RadiusGraph(CUTOFF)(structure)] * (size * size // 20 + 2))


@pytest.fixture
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.long
@pytest.mark.usefixtures("compiler", "threads", "fresh_cache")
@pytest.mark.parametrize(
    ("case", "dtype", "threads"),
    [
        pytest.param("one scale", torch.float32, 1, marks=pytest.mark.exhaustive),
        pytest.param("one scale", torch.float64, 1, marks=pytest.mark.exhaustive),
        pytest.param("two scales, softmax, learned readout", torch.float64, 1, marks=pytest.mark.exhaustive),
        pytest.param("crystals, stress, sigmoid, product", torch.float32, 1, marks=pytest.mark.exhaustive),
        pytest.param("crystals, stress, sigmoid, product", torch.float64, 2, marks=pytest.mark.exhaustive),
        pytest.param("one scale", torch.float32, 2, marks=pytest.mark.exhaustive),
        pytest.param("two scales, softmax, learned readout", torch.float32, 2, marks=pytest.mark.long),
        ("crystals, stress, sigmoid, product", torch.float64, 1),
    ],
    indirect=["dtype", "threads"],
)
def test_compiled_evaluation_equals_eager(build, case, dtype, ethanol, water, silicon):
    options, periodic = CASES[case]
    eager = build(options, dtype).eval()
    compiled = copy.deepcopy(eager).compile("on")
    for batch in batches(periodic, ethanol, water, silicon, dtype):
        for stress in {False, periodic}:
            assert_equal(compiled(batch, stress=stress), eager(batch, stress=stress), dtype)
    assert all(entry is not None for entry in compiled.compiler._compiled.values())
    assert len(compiled.compiler._compiled) == (2 if periodic else 1)  # nothing was compiled a second time
    entries, files = dict(compiled.compiler._compiled), set(code_folder().rglob("*"))
    for many in fifty(silicon if periodic else ethanol):
        compiled(many, stress=periodic)
    assert compiled.compiler._compiled == entries
    assert set(code_folder().rglob("*")) == files


@pytest.mark.long
@pytest.mark.usefixtures("compiler", "threads")
@pytest.mark.parametrize(
    ("case", "dtype", "threads"),
    [
        ("one scale", torch.float32, 1),
        pytest.param("one scale", torch.float64, 2, marks=pytest.mark.exhaustive),
        pytest.param("two scales, softmax, learned readout", torch.float64, 1, marks=pytest.mark.exhaustive),
        pytest.param("two scales, softmax, learned readout", torch.float32, 2, marks=pytest.mark.exhaustive),
        pytest.param("crystals, stress, sigmoid, product", torch.float64, 2, marks=pytest.mark.exhaustive),
        pytest.param("crystals, stress, sigmoid, product", torch.float32, 1, marks=pytest.mark.exhaustive),
    ],
    indirect=["dtype", "threads"],
)
def test_compiled_training_equals_eager(build, case, dtype, ethanol, water, silicon):
    options, periodic = CASES[case]
    eager = build(options, dtype).train()
    compiled = copy.deepcopy(eager).compile("on")

    def gradients(potential, batch):
        potential.zero_grad()
        output = potential(batch, stress=periodic)
        loss = output.forces.square().sum() + output.energy.sum()
        (loss + output.stress.nan_to_num().square().sum() if periodic else loss).backward()
        return output, {name: p.grad for name, p in potential.named_parameters() if p.grad is not None}

    first, *others = batches(periodic, ethanol, water, silicon, dtype)
    gradients(compiled, first)
    count = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    for batch in (first, *others):
        output, found = gradients(compiled, batch)
        expected, wanted = gradients(eager, batch)
        assert_equal(output, expected, dtype)
        for name, gradient in wanted.items():  # in float32 sums that cancel are as exact as their largest entry
            rtol, atol = (1e-7, 1e-10) if dtype == torch.float64 else (1e-3, 1e-4 * float(gradient.abs().max()) + 1e-9)
            torch.testing.assert_close(found[name], gradient, rtol=rtol, atol=atol, msg=name)
    for many in fifty(silicon if periodic else ethanol):
        compiled(many, stress=periodic)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == count
    with torch.no_grad():  # weights are inputs: a step is seen
        for potential in (eager, compiled):
            for parameter in potential.parameters():
                parameter.add_(0.01)
    assert_equal(compiled(batch), eager(batch), dtype)


@pytest.mark.long
@pytest.mark.usefixtures("compiler")
def test_code_is_kept_and_shared_and_sees_coincident_atoms(build, cache, water, monkeypatch):
    potential, loaded = build({}, torch.float32).eval().compile("on"), []
    load = generate.load_package
    monkeypatch.setattr(generate, "load_package", lambda path: loaded.append(path) or load(path))
    expected = potential(water)
    monkeypatch.setattr(generate, "build_package", None)
    other = copy.deepcopy(potential)
    with torch.no_grad():
        other.atomwise.heads[0].linears[1].weight *= 2.0
    assert other.compiler is not potential.compiler
    reference = other.reference_energies(water.z, torch.zeros_like(water.z), 1)[0]
    assert float(other(water).energy - reference) == pytest.approx(2 * float(expected.energy - reference), rel=1e-4)
    assert len(loaded) == 2
    assert loaded[0] == loaded[1]
    assert loaded[0].is_relative_to(cache)
    data = RadiusGraph(CUTOFF)(water)  # with its edges, or the neighbour list would refuse what follows
    data.pos[1] = data.pos[0]
    with pytest.raises(ValueError, match=r"keep atoms apart, got atoms . and . at one place"):
        potential(data)


def test_a_copy_keeps_the_switch_and_nothing_else(build):
    potential = build({}, torch.float32).compile("auto")
    potential.compiler._compiled["key"] = None
    for copied in (copy.deepcopy(potential), pickle.loads(pickle.dumps(potential))):
        assert copied.compiler.mode == "auto"
        assert copied.compiler._compiled == {}
    assert potential.compile("off").compiler is None


def test_unknown_mode_is_refused(build):
    with pytest.raises(ValueError, match=r"'mode' must be one of .*'on'.* got 'fast'"):
        build({}, torch.float32).compile("fast")


REASONS = {
    "no compiler": (lambda patch: patch.setenv("CXX", "no-such-compiler"), "no C\\+\\+ compiler 'no-such-compiler'"),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("reason", REASONS)
def test_where_it_cannot_be_compiled(build, reason, water, monkeypatch):
    change, message = REASONS[reason]
    change(monkeypatch)
    potential = build({}, torch.float32).eval()
    expected = potential(water)
    with pytest.raises(RuntimeError, match=f"cannot be compiled here: .*{message}"):
        potential.compile("on")
    potential.compile("auto")
    with pytest.warns(UserWarning, match=f"not compiled: .*{message}"):
        found = potential(water)
    assert_equal(found, expected, torch.float64)
    assert_equal(potential(water), expected, torch.float64)  # said once


class Branching(MPNN):
    """A representation that breaks the rule: it branches on values."""

    def forward(self, z, edge_index, edge_vec, near=None):
        features = super().forward(z, edge_index, edge_vec, near)
        return features if float(edge_vec.sum()) > -1e9 else features[::-1]


@pytest.mark.slow
def test_a_part_that_cannot_be_traced(water):
    potential = Potential(Branching(cutoff=CUTOFF, **SMALL)).eval()
    expected = potential(water)
    potential.compile("on")
    with pytest.raises(RuntimeError, match="must not branch on values of tensors"):
        potential(water)
    potential.compile("auto")
    with pytest.warns(UserWarning, match="not compiled: a part of it cannot be traced"):
        assert_equal(potential(water), expected, torch.float64)


@pytest.mark.long
@pytest.mark.usefixtures("compiler")
def test_layers_of_ones_own_as_the_documentation_has_them(water, ethanol):
    parts = f"{Path(__file__).parents[2] / 'docs' / 'tutorials' / 'my_parts.py'}"
    layer = {"class": f"{parts}:Convolution", "channels": 8, "num_radial": 4}
    options = {"cutoff": CUTOFF, "hidden_channels": 8, "num_radial": 4, "directions": "radial"}
    eager = Potential.from_size("small", **options, layers=[layer] * 2).eval()
    compiled = copy.deepcopy(eager).compile("on")
    for structure in (water, ethanol):
        assert_equal(compiled(structure), eager(structure), torch.float32)
    assert all(entry is not None for entry in compiled.compiler._compiled.values())


@pytest.mark.slow
@pytest.mark.usefixtures("compiler")
def test_a_part_that_is_replaced_is_noticed(build, water, monkeypatch):
    """The traced graphs are run by torch: code would be made of each."""
    made = []

    def run_by_torch(purpose, traced, example, trials):
        made.append(traced)
        return lambda tensors: list(traced.graph(*tensors))

    monkeypatch.setattr(compiler, "generate", run_by_torch)
    potential = build({}, torch.float32).eval().compile("on")
    before = potential(water).forces
    potential.representation.radial = GaussianBasis(CUTOFF, SMALL["num_radial"])
    found = potential(water).forces
    assert len(made) == 2
    expected = potential.compile("off")(water).forces
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(before, expected, atol=1e-3), "control: the part matters"


def ions(water, ethanol, silicon):
    """Batches of neutral and of charged structures, of molecules and of crystals."""
    for structures in ([water, ethanol, water], [silicon, silicon], [ethanol]):
        structures = [RadiusGraph(CUTOFF)(structure.clone()) for structure in structures]
        for charge, structure in enumerate(structures):
            structure.charge, structure.spin = torch.tensor([charge - 1.0]), torch.tensor([2.0])
        yield Batch.from_data_list(structures)


def assert_ions_equal(compiled, eager, water, ethanol, silicon):
    for batch in ions(water, ethanol, silicon):
        assert_equal(compiled(batch, stress="cell" in batch), eager(batch, stress="cell" in batch), torch.float64)
        batch.charge = batch.charge + 1.0
        assert (compiled(batch).energy - eager(batch).energy).abs().max() < 1e-9
    assert compiled.compiler._compiled
    assert None not in compiled.compiler._compiled.values()


@pytest.mark.usefixtures("compiler", "fresh_cache")
def test_charge_and_spin_reach_compiled_code(water, ethanol, silicon, made):
    """The traced graphs are run by torch, and proven with numbers of their own."""
    eager = charged()
    compiled = copy.deepcopy(eager).compile("on")
    assert_ions_equal(compiled, eager, water, ethanol, silicon)
    assert len(made) == 3, "molecules, crystals with stress, crystals without"
    batch = next(iter(ions(water, ethanol, silicon)))
    found = []
    for model in (eager, compiled):
        result = model.train()(batch)
        found.append(torch.autograd.grad(result.forces.square().sum() + result.energy.sum(), model.parameters()))
    assert len(made) == 4
    for gradient, wanted in zip(found[1], found[0], strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=1e-9, atol=1e-10)
    batch.charge = None
    with pytest.raises(ValueError, match="'data' must have the field 'charge'"):
        compiled(batch)


@pytest.mark.long
@pytest.mark.usefixtures("compiler", "fresh_cache")
def test_charge_and_spin_reach_code_that_was_made(water, ethanol, silicon):
    eager = charged()
    assert_ions_equal(copy.deepcopy(eager).compile("on"), eager, water, ethanol, silicon)
