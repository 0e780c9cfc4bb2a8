"""Laws of locality: molecules of a batch, far parts, atoms at the cutoff."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch_geometric.data import Batch, Data

from pyg_mpnn.testing.deviation import deviation, require
from pyg_mpnn.testing.symmetry import Axis, Function


def assert_batch_law(
    function: Function, structures: Sequence[Data], axis: Axis, *, tolerance: float | None = None
) -> float:
    """A batch gives what its structures give one by one.

    Args:
        function: maps a batch to a tensor whose first axis is ``axis``.
        structures: the structures; one without atoms (``num_nodes`` set to 0) may be among them.
        axis: what the first axis of the result counts: one row for each graph or node, those without neighbours and
            those at the end too; edges may be as many as the function finds.
        tolerance: largest relative deviation, see :func:`require`.

    Returns:
        The relative deviation.

    Raises:
        AssertionError: the law is broken.
    """
    together = function(Batch.from_data_list(list(structures)))
    rows = {"graphs": len(structures), "nodes": sum(structure.num_nodes for structure in structures)}
    if len(together) != rows.get(axis, len(together)):
        raise AssertionError(f"batch law broken: {len(together)} rows for {rows[axis]} {axis}")
    apart = torch.cat([function(Batch.from_data_list([structure])) for structure in structures])
    return require("batch law", together, apart, tolerance)


def assert_far_parts_law(
    function: Function,
    first: Data,
    second: Data,
    axis: Axis,
    *,
    distance: float = 100.0,
    tolerance: float | None = None,
) -> float:
    """Two structures far from each other do not feel each other: results on atoms stay, results on graphs add up.

    Args:
        function: maps a structure, of which ``z`` and ``pos`` are given, to a tensor whose first axis is ``axis``.
        first: one open structure.
        second: another.
        axis: ``"graphs"`` or ``"nodes"``, what the first axis of the result counts.
        distance: translation of the second structure along x, beyond every cutoff, in A.
        tolerance: largest relative deviation, see :func:`require`.

    Returns:
        The relative deviation.

    Raises:
        AssertionError: the law is broken.
        ValueError: ``axis`` is ``"edges"``, whose order is the function's own.
    """
    if axis == "edges":
        raise ValueError("'axis' must be 'graphs' or 'nodes', got 'edges': use a result on atoms.")
    parts = [Data(z=part.z, pos=part.pos) for part in (first, second)]
    moved = second.pos + second.pos.new_tensor([distance, 0.0, 0.0])
    results = [function(part) for part in parts]
    expected = torch.cat(results) if axis == "nodes" else results[0] + results[1]
    both = Data(z=torch.cat([first.z, second.z]), pos=torch.cat([first.pos, moved]))
    return require("far parts law", function(both), expected, tolerance)


def assert_cutoff_law(
    function: Callable[[Float[Tensor, ""]], Tensor], cutoff: float, *, tolerance: float = 0.02
) -> float:
    """A neighbour that leaves through the cutoff does so with zero effect and zero slope.

    Compares a thousandth of the cutoff inside with 0.6 of the cutoff: a function with one continuous derivative has
    lost all but a few thousandths of its slope there. Beyond the cutoff nothing may change any more.

    Args:
        function: maps the distance of one atom from the rest, a scalar tensor in A, to a tensor; differentiable. Beyond
            the cutoff the atom must have no neighbour.
        cutoff: the radius, in A.
        tolerance: largest effect or slope just inside the cutoff, relative to that at 0.6 of the cutoff.

    Returns:
        The larger of relative effect and relative slope just inside.

    Raises:
        AssertionError: value or slope do not go to zero, the neighbour acts from beyond the cutoff, or there is no
            effect inside either (so that the check would prove nothing).

    Example:
        >>> from pyg_mpnn.basis import CosineCutoff
        >>> assert_cutoff_law(lambda dist: CosineCutoff(4.0)(dist.unsqueeze(0)), 4.0) < 0.01
        True
    """
    apart, _ = _value_and_slope(function, 2.0 * cutoff)
    beyond, slope_beyond = _value_and_slope(function, 1.001 * cutoff)
    if deviation(beyond, apart) > 0.0 or slope_beyond.abs().max() > 0.0:
        raise AssertionError(f"cutoff law broken: the neighbour still acts beyond the cutoff of {cutoff} A")
    value, slope = _value_and_slope(function, 0.6 * cutoff)
    effect, steepness = float((value - apart).abs().max()), float(slope.abs().max())
    if not (effect > 0.0 and steepness > 0.0):
        raise AssertionError(f"cutoff law not tested: no effect of the neighbour at {0.6 * cutoff:g} A either")
    value, slope = _value_and_slope(function, 0.999 * cutoff)
    found = [float((value - apart).abs().max()) / effect, float(slope.abs().max()) / steepness]
    for name, size in zip(("value", "slope"), found, strict=True):
        if not size <= tolerance:
            raise AssertionError(f"cutoff law broken: {name} just inside is {size:.2e} of that at 0.6 of the cutoff")
    return max(found)


def _value_and_slope(function: Callable[[Float[Tensor, ""]], Tensor], dist: float) -> tuple[Tensor, Tensor]:
    variable = torch.tensor(dist, requires_grad=True)
    value = function(variable)
    slopes = [
        torch.autograd.grad(entry, variable, retain_graph=True, materialize_grads=True)[0]
        for entry in value.flatten()
        if entry.requires_grad
    ]
    return value.detach(), torch.stack(slopes) if slopes else torch.zeros(1)
