"""Each pass leaves the function what it is; what it is there for shows where it is left out."""

from __future__ import annotations

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from pyg_mpnn.deploy import passes

aten = torch.ops.aten


def targets(graph):
    return [node.target for node in graph.graph.nodes if node.op == "call_function"]


def linear(x, weight, bias):
    return torch.nn.functional.linear(x, weight, bias).tanh()


@pytest.fixture
def inputs():
    return torch.randn(20, 6), torch.randn(8, 6), torch.randn(8)


@pytest.mark.parametrize("rewrite", [passes.split_bias, passes.turn_narrow_products, passes.copy_narrow_weights])
def test_products_give_the_same(rewrite, inputs):
    def products(x, weight, bias):
        return linear(x, weight, bias), (linear(x, weight, bias) @ weight), weight @ x.T

    graph = make_fx(products, tracing_mode="symbolic")(*inputs)
    rewrite(graph)
    for found, wanted in zip(graph(*inputs), products(*inputs), strict=True):
        torch.testing.assert_close(found, wanted)


def test_bias_is_added_apart(inputs):
    graph = make_fx(linear, tracing_mode="symbolic")(*inputs)
    assert aten.addmm.default in targets(graph)
    passes.split_bias(graph)
    assert aten.addmm.default not in targets(graph)
    assert targets(graph).count(aten.mm.default) == 1


@pytest.mark.parametrize(("columns", "turned"), [(1, 0), (8, 3), (16, 3), (17, 0)])
def test_only_narrow_products_are_turned(columns, turned):
    arguments = torch.randn(40, 6), torch.randn(6, columns)
    graph = make_fx(torch.mm, tracing_mode="real")(*arguments)
    for node, value in zip(graph.graph.nodes, arguments, strict=False):
        node.meta["val"] = value
    passes.turn_narrow_products(graph)
    assert targets(graph).count(aten.t.default) == turned
    torch.testing.assert_close(graph(*arguments), torch.mm(*arguments))


@pytest.mark.parametrize(("columns", "copied"), [(1, 0), (8, 1), (16, 1), (17, 0)])
def test_narrow_weights_are_stored_by_rows(columns, copied):
    def multiply(x, weight):
        return x @ weight.t(), (2 * x).t() @ x  # only what comes from outside is copied

    arguments = torch.randn(40, columns), torch.randn(50, columns)
    graph = make_fx(multiply, tracing_mode="real")(*arguments)
    for node, value in zip(graph.graph.nodes, arguments, strict=False):
        node.meta["val"] = value
    passes.copy_narrow_weights(graph)
    assert targets(graph).count(aten.clone.default) == copied
    for found, wanted in zip(graph(*arguments), multiply(*arguments), strict=True):
        torch.testing.assert_close(found, wanted)


def test_second_derivatives_need_detach_dropped():
    def force(x):
        x = x.detach().requires_grad_()
        return torch.autograd.grad(x.sigmoid().sum(), x, create_graph=True)[0]

    def second(graph, weight):
        weight = weight.clone().requires_grad_()
        return torch.autograd.grad(graph(3 * weight).sum(), weight)[0]

    weight = torch.tensor([0.3, -1.0], dtype=torch.float64)
    graph = make_fx(force, tracing_mode="symbolic")(weight)
    assert aten.detach.default in targets(graph)
    passes.drop_detach(graph)
    assert aten.detach.default not in targets(graph)
    sigmoid = (3 * weight).sigmoid()
    torch.testing.assert_close(second(graph, weight), 3 * sigmoid * (1 - sigmoid) * (1 - 2 * sigmoid))
