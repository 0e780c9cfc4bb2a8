"""Readouts: which add up and which average, by hand and beside PyG's own aggregations."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch_geometric.data import Batch, Data
from torch_geometric.nn import Aggregation, AttentionalAggregation, MeanAggregation, SumAggregation

from pyg_mpnn import LearnedSumReadout, MeanReadout, Readout, SoftmaxReadout, SumReadout
from pyg_mpnn.testing import (
    assert_batch_law,
    assert_copies_law,
    assert_far_parts_law,
    assert_gradients,
    assert_permutation_law,
    assert_reset_law,
)

KINDS = [SumReadout, MeanReadout, LearnedSumReadout, SoftmaxReadout]
every_kind = pytest.mark.parametrize("kind", KINDS)


def build(kind):
    torch.manual_seed(0)
    return kind() if kind in (SumReadout, MeanReadout) else kind(4)


def features(data):
    return torch.sin(data.z.unsqueeze(-1) * torch.arange(1, 5)).to(data.pos)


def graph_values(kind):
    """One row for each graph, of two values and four features an atom."""

    def function(data):
        index = torch.zeros_like(data.z) if data.batch is None else data.batch
        value = features(data)[:, :2] + 1.0
        return build(kind)(value, index, dim_size=getattr(data, "num_graphs", 1), features=features(data))

    return function


@every_kind
def test_laws(kind, ethanol, water, chiral):
    nothing = Data(z=torch.zeros(0, dtype=torch.long), pos=torch.zeros(0, 3), num_nodes=0)
    assert_permutation_law(graph_values(kind), chiral, "graphs")
    assert_batch_law(graph_values(kind), [ethanol, nothing, water, nothing], "graphs")


@every_kind
def test_extensive_is_what_adds_up(kind, ethanol, water):
    """The declaration, measured: sum and gated sum add up, mean and softmax do not."""
    if kind.extensive:
        assert_far_parts_law(graph_values(kind), ethanol, water, "graphs")
    else:
        with pytest.raises(AssertionError, match="far parts law broken"):
            assert_far_parts_law(graph_values(kind), ethanol, water, "graphs")


def test_extensive_is_declared():
    assert [kind.extensive for kind in KINDS] == [True, False, True, False]


def test_by_hand(dtype):
    """Graph 0 has values 1 and 3, graph 1 has none, graph 2 has 5."""
    x, index = torch.tensor([[1.0], [3.0], [5.0]]), torch.tensor([0, 0, 2])
    score = torch.tensor([[0.0], [3.0], [-1.0]]).log1p().nan_to_num(neginf=-20.0)  # 0, log 4, about minus infinity
    gate = {kind: build(kind) for kind in KINDS}
    for kind in (LearnedSumReadout, SoftmaxReadout):
        gate[kind] = kind(1)
        nn.init.ones_(gate[kind].gate.weight)
        nn.init.zeros_(gate[kind].gate.bias)
    expected = {
        SumReadout: [4.0, 0.0, 5.0],
        MeanReadout: [2.0, 0.0, 5.0],
        LearnedSumReadout: [0.5 * 1.0 + 0.8 * 3.0, 0.0, 0.0],
        SoftmaxReadout: [0.2 * 1.0 + 0.8 * 3.0, 0.0, 5.0],
    }
    for kind in KINDS:
        found = gate[kind](x, index, dim_size=3, features=score)
        assert found.dtype == dtype
        torch.testing.assert_close(found.flatten(), torch.tensor(expected[kind]), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("kind", "other"), [(SumReadout, SumAggregation), (MeanReadout, MeanAggregation), (SoftmaxReadout, None)]
)
def test_equals_the_aggregation_of_pyg(kind, other, ethanol, water):
    batch = Batch.from_data_list([ethanol, water])
    x, readout = features(batch), build(kind)
    expected = (AttentionalAggregation(readout.gate) if other is None else other())(x, batch.batch, dim_size=2)
    torch.testing.assert_close(readout(x, batch.batch, dim_size=2), expected)


@every_kind
def test_values_of_atoms_may_have_any_shape(kind):
    index, h = torch.tensor([0, 0, 1]), torch.ones(3, 4)
    for shape in ((3,), (3, 1), (3, 5), (3, 2, 3)):
        assert build(kind)(torch.ones(shape), index, dim_size=2, dim=0, features=h).shape == (2, *shape[1:])


@every_kind
@pytest.mark.parametrize("dim", [0, 1, 2, -3, -2, -1])
def test_atoms_are_along_dim(kind, dim, dtype):
    """Graphs take the place of the atoms, as in PyG; without ``dim`` it is the last axis but one."""
    index, h, x = torch.tensor([0, 0, 2, 1]), torch.randn(4, 4), torch.randn(4, 2, 3)
    readout = build(kind)
    expected = readout(x, index, dim_size=3, dim=0, features=h).movedim(0, dim)
    moved = x.movedim(0, dim)
    torch.testing.assert_close(readout(moved, index, dim_size=3, dim=dim, features=h), expected)
    if dim == -2:
        torch.testing.assert_close(readout(moved, index, dim_size=3, features=h), expected)
    if kind is SumReadout:
        torch.testing.assert_close(SumAggregation()(moved, index, dim_size=3, dim=dim), expected)
    pointers = torch.tensor([0, 2, 3, 4])
    found = readout(moved, ptr=pointers, dim=dim, features=h)
    torch.testing.assert_close(found, readout(moved, torch.tensor([0, 0, 1, 2]), dim=dim, features=h))


@every_kind
def test_what_cannot_be_summed_is_refused(kind):
    """Three atoms with 2 x 3 values: PyG's default axis is not that of the atoms, and nothing is broadcast."""
    index, h = torch.tensor([0, 0, 1]), torch.ones(3, 4)
    readout = build(kind)
    with pytest.raises(ValueError, match=r"'index' must hold the graph of each of the 2 atoms along 'dim' -2 of 'x'"):
        readout(torch.ones(3, 2, 3), index, dim_size=2, features=h)
    for wrong in (torch.zeros(1, dtype=torch.long), torch.zeros(3, 1, dtype=torch.long)):
        with pytest.raises(ValueError, match="'index' must hold the graph of each of the 3 atoms"):
            readout(torch.ones(3, 4), wrong, dim_size=2)


@pytest.mark.parametrize("kind", [LearnedSumReadout, SoftmaxReadout])
def test_learned_weights_need_a_row_of_features_for_each_atom(kind):
    index = torch.tensor([0, 0, 1])
    with pytest.raises(ValueError, match=r"'features' must hold one row for each of the 3 atoms, got shape \(2, 4\)"):
        build(kind)(torch.ones(3, 1), index, dim_size=2, features=torch.ones(2, 4))
    with pytest.raises(ValueError, match=r"got shape \(3, 2, 4\) of 'x' in their place"):
        build(kind)(torch.ones(3, 2, 4), index, dim_size=2, dim=0)


@every_kind
def test_pointers_to_the_first_atom_of_each_graph_serve_as_in_pyg(kind):
    x, readout = torch.randn(3, 4), build(kind)
    expected = readout(x, torch.tensor([0, 0, 1]), dim_size=2)
    torch.testing.assert_close(readout(x, ptr=torch.tensor([0, 2, 3])), expected)


@every_kind
def test_one_graph_and_no_atoms(kind, dtype):
    readout = build(kind)
    assert readout(torch.ones(3, 4)).shape == (1, 4)
    empty = readout(torch.zeros(0, 4), torch.zeros(0, dtype=torch.long), dim_size=2)
    assert torch.equal(empty, torch.zeros(2, 4))


@every_kind
def test_gradients(kind, dtype):
    index = torch.tensor([0, 0, 2])
    readout = build(kind).double()
    x, h = torch.randn(3, 2, dtype=torch.float64), torch.randn(3, 4, dtype=torch.float64)
    assert_gradients(lambda x, h: readout(x, index, dim_size=3, features=h), [x, h], fast=True)


def test_softmax_with_large_scores_is_finite():
    readout = SoftmaxReadout(1)
    nn.init.ones_(readout.gate.weight)
    found = readout(torch.ones(2, 1), torch.tensor([0, 0]), dim_size=1, features=torch.tensor([[1e4], [-1e4]]))
    torch.testing.assert_close(found.detach(), torch.ones(1, 1))


@every_kind
def test_copies_reset_and_repr(kind, dtype):
    x, index = torch.ones(3, 4), torch.tensor([0, 0, 1])
    assert_copies_law(lambda: build(kind), lambda module: module(x, index, dim_size=2))
    assert isinstance(build(kind), Aggregation)
    assert isinstance(build(kind), Readout)
    if list(build(kind).parameters()):
        assert_reset_law(build(kind))
        assert repr(build(kind)) == f"{kind.__name__}(4)"
    else:
        assert repr(build(kind)) == f"{kind.__name__}()"


@pytest.mark.parametrize("kind", [LearnedSumReadout, SoftmaxReadout])
def test_width_must_be_positive(kind):
    with pytest.raises(ValueError, match="'in_channels' must be at least 1, got 0"):
        kind(0)


def test_interface_is_abstract():
    with pytest.raises(TypeError, match="abstract"):
        Readout()
