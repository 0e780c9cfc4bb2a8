"""Equal numbers give equal results, compiled or not, however they lie in memory and whatever type holds them."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch
from torch import nn
from torch_geometric.data import Batch

from pyg_mpnn import RadiusGraph

pytestmark = [
    pytest.mark.long,
    pytest.mark.usefixtures("unchecked", "compiler"),
    # torch's own, while it traces and compiles
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning"),
]
CUTOFF = 4.0
NAMES = ("z", "pos", "batch", "cell", "pbc", "edge_index", "shifts")


def spread(tensor):
    """Every second number of a larger block, starting behind a number that is not it."""
    block = tensor.new_ones(2 * tensor.numel() + 1)
    return block[1::2].copy_(tensor.flatten()).unflatten(0, tensor.shape)


def behind_others(tensor):
    return torch.cat([tensor.flatten()[:1], tensor.flatten()])[1:].view(tensor.shape)


def in_inference_mode(tensor):
    with torch.inference_mode():
        return tensor.clone()


# what a caller may do to a tensor without changing its numbers
FORMS = {
    "columns one after the other": lambda tensor: tensor.mT.contiguous().mT if tensor.dim() > 1 else spread(tensor),
    "first axis last": lambda tensor: tensor.movedim(0, -1).contiguous().movedim(-1, 0),
    "spread": spread,
    "at an odd place": behind_others,
    "of inference mode": in_inference_mode,
    "negated view": lambda tensor: torch._neg_view(-tensor) if tensor.is_floating_point() else tensor,
    "parameter": lambda tensor: nn.Parameter(tensor, requires_grad=False),
}
WHOLE = {"z": (torch.int8, torch.int32), "batch": (torch.int8, torch.int32), "edge_index": (torch.int16, torch.int32)}
WHOLE["shifts"] = (torch.int8, torch.int32, torch.float32, torch.float64)


@pytest.fixture(scope="module")
def potentials(build):
    """A small potential and its compiled twin, in evaluation mode."""
    potential = build({"attention": "sigmoid", "zbl": True}, torch.float64).eval()  # as one in test_compiler.py
    return potential, copy.deepcopy(potential).compile("on")


@pytest.fixture
def tensors(silicon):
    """Three equal cells with different atoms, as plain tensors."""
    frames = [silicon.clone().update({"pos": silicon.pos.double() + 0.1 * torch.rand(2, 3).double()}) for _ in range(3)]
    batch = Batch.from_data_list([RadiusGraph(CUTOFF)(frame) for frame in frames])
    return {name: batch[name].double() if name == "cell" else batch[name] for name in NAMES}


def assert_same(found, wanted):
    for name, value in wanted._asdict().items():
        torch.testing.assert_close(getattr(found, name), value, rtol=1e-10, atol=1e-10, msg=name)


@pytest.mark.parametrize("threads", [1, 2])
def test_any_layout(potentials, tensors, threads):
    eager, compiled = potentials
    torch.set_num_threads(threads)
    wanted = eager(**as_arguments(tensors), stress=True)
    assert_same(compiled(**as_arguments(tensors), stress=True), wanted)
    made = len(compiled.compiler._compiled)
    for name, form in itertools.product(NAMES, FORMS):
        changed = {**tensors, name: FORMS[form](tensors[name])}
        assert torch.equal(changed[name], tensors[name])
        for potential in potentials:
            assert_same(potential(**as_arguments(changed), stress=True), wanted)
    changed = {name: FORMS["first axis last"](tensor) for name, tensor in tensors.items()}
    changed["cell"] = tensors["cell"][:1].expand(3, 3, 3)
    for potential in potentials:
        assert_same(potential(**as_arguments(changed), stress=True), wanted)
    assert len(compiled.compiler._compiled) == made  # nothing was compiled for a layout


def as_arguments(tensors):
    return {"data" if name == "z" else name: tensor for name, tensor in tensors.items()}


@pytest.mark.parametrize("name", WHOLE)
def test_any_type_of_whole_numbers(potentials, tensors, name):
    wanted = potentials[0](**as_arguments(tensors), stress=True)
    for dtype, potential in itertools.product(WHOLE[name], potentials):
        changed = {**tensors, name: tensors[name].to(dtype)}
        assert_same(potential(**as_arguments(changed), stress=True), wanted)


def test_positions_and_cells_in_single_precision(potentials, tensors):
    rounded = {name: tensors[name].float() for name in ("pos", "cell")}
    wanted = potentials[0](**as_arguments({**tensors, **{name: value.double() for name, value in rounded.items()}}))
    for potential in potentials:
        assert_same(potential(**as_arguments({**tensors, **rounded})), wanted)


@pytest.mark.parametrize("name", ["pos", "cell"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_a_derivative_that_the_caller_takes(potentials, tensors, name, dtype):
    given = {**tensors, "pos": tensors["pos"].to(dtype), "cell": tensors["cell"].to(dtype)}
    energy = potentials[0](**as_arguments(given), forces=False).energy
    for potential in potentials:
        leaf = given[name].clone().requires_grad_()
        found = potential.train()(**as_arguments({**given, name: leaf}))
        potential.eval()
        (slope,) = torch.autograd.grad(found.energy.sum(), leaf)
        torch.testing.assert_close(found.energy, energy)
        assert slope.dtype == dtype
        assert bool(slope.any())
        if name == "pos":
            torch.testing.assert_close(-slope.double(), found.forces, rtol=1e-5, atol=1e-6)


def test_fractional_shifts_are_refused(potentials, tensors):
    fractional = tensors["shifts"].double()
    fractional[3, 1] += 0.5
    for potential in potentials:
        with pytest.raises(ValueError, match=r"'shifts' must be whole numbers of cells, got .*\.5.* for edge 3"):
            potential(**as_arguments({**tensors, "shifts": fractional}))


def test_weights_of_any_layout(potentials, tensors):
    changed = [copy.deepcopy(potential) for potential in potentials]
    for potential in changed:
        for parameter in potential.parameters():
            if parameter.dim() > 1:
                parameter.data = parameter.data.mT.contiguous().mT
    assert_same(changed[1](**as_arguments(tensors)), changed[0](**as_arguments(tensors)))
    assert_same(changed[1](**as_arguments(tensors)), potentials[0](**as_arguments(tensors)))


def test_training_compiles_once_for_all_layouts(build, tensors):
    eager = build({"directions": "radial"}, torch.float64).train()
    compiled = copy.deepcopy(eager).compile("on")
    wanted = eager(**as_arguments(tensors), stress=True)
    assert_same(compiled(**as_arguments(tensors), stress=True), wanted)
    count = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    for form in FORMS.values():
        changed = {name: form(tensor) for name, tensor in tensors.items()}
        assert_same(compiled(**as_arguments(changed), stress=True), wanted)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == count
