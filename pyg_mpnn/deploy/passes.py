"""Rewrite a traced graph into an equal one that derives correctly or runs faster."""

from __future__ import annotations

import torch
from torch.fx import GraphModule, Node

_aten = torch.ops.aten
NARROW = 16
"""A right factor with at most this many columns is multiplied from the left, transposed."""


def drop_detach(graph: GraphModule) -> None:
    """Drop the detach that autograd puts around outputs it saves (of sigmoid, exp, a norm ...).

    In the traced graph it would cut second derivatives. A detach in our blocks (the maximum in the softmax) stands
    where the derivative is zero anyway; blocks of your own must keep to that.
    """
    for node in graph.graph.nodes:
        if node.target is _aten.detach.default:
            node.replace_all_uses_with(node.args[0])
            graph.graph.erase_node(node)
    graph.recompile()


def split_bias(graph: GraphModule) -> None:
    """Add biases apart from the matrix product, where the addition joins the activation that follows."""
    for node in graph.graph.nodes:
        if node.target is _aten.addmm.default and len(node.args) == 3 and not node.kwargs:
            bias, first, second = node.args
            with graph.graph.inserting_before(node):
                product = _call(graph, _aten.mm.default, first, second)
                product.meta = dict(node.meta)
                total = _call(graph, _aten.add.Tensor, product, bias)
            node.replace_all_uses_with(total)
            graph.graph.erase_node(node)
    graph.recompile()


def turn_narrow_products(graph: GraphModule) -> None:
    r"""Compute :math:`A B` as :math:`(B^\mathsf{T} A^\mathsf{T})^\mathsf{T}` where B has few columns.

    Libraries of matrix products can be slower on many rows and few columns than the other way round.

    Args:
        graph: graph to change, with example values in ``node.meta["val"]``.
    """
    for node in graph.graph.nodes:
        if node.target is _aten.mm.default and _is_narrow(node.args[1]):
            with graph.graph.inserting_before(node):
                first, second = (_call(graph, _aten.t.default, factor) for factor in node.args)
                result = _call(graph, _aten.t.default, _call(graph, _aten.mm.default, second, first))
            node.replace_all_uses_with(result)
            graph.graph.erase_node(node)
    graph.recompile()


def copy_narrow_weights(graph: GraphModule) -> None:
    r"""Multiply by a copy, stored by rows, of each transposed weight with few rows or columns.

    For training: the gradient of a weight is a product over all edges, which autograd computes in the order in which
    the weight is stored. For a narrow one that can be the slower order.

    Args:
        graph: graph to change, with example values in ``node.meta["val"]``.
    """
    for node in graph.graph.nodes:
        if node.target is _aten.mm.default:
            for factor in node.args:
                if _is_narrow_transposed_weight(factor):
                    with graph.graph.inserting_before(node):
                        copy = _call(graph, _aten.clone.default, factor)
                        copy.kwargs = {"memory_format": torch.contiguous_format}
                    node.replace_input_with(factor, copy)
    graph.recompile()


def _call(graph: GraphModule, target: object, *args: object) -> Node:
    return graph.graph.call_function(target, args)  # type: ignore[arg-type]


def _is_narrow(factor: Node) -> bool:
    columns = factor.meta["val"].shape[1]
    return isinstance(columns, int) and 1 < columns <= NARROW


def _is_narrow_transposed_weight(factor: Node) -> bool:
    transposed = False
    while factor.target is _aten.t.default:
        factor, transposed = factor.args[0], not transposed  # type: ignore[assignment]
    if not transposed or factor.op != "placeholder":
        return False
    # tracing learned some lengths of weights only later: they are symbols with a value
    lengths = [length if isinstance(length, int) else length.node.maybe_as_int() for length in factor.meta["val"].shape]
    return any(length is not None and 1 < length <= NARROW for length in lengths)
