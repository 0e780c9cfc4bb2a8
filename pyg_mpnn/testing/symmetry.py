"""Laws of symmetry: permutation, translation, rotation, inversion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from e3nn import o3
from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric.data import Data

from pyg_mpnn.testing.deviation import require

Axis = Literal["graphs", "nodes", "edges"]
Function = Callable[[Data], Tensor]


def assert_permutation_law(
    function: Function, data: Data, axis: Axis, *, seed: int = 0, tolerance: float | None = None
) -> float:
    """Renumbered atoms and shuffled edges give the same result, renumbered in the same way.

    Args:
        function: maps a structure to a tensor whose first axis is ``axis``.
        data: one structure. Values on atoms are those with one row an atom, values on edges are ``shifts`` and all
            whose name contains ``edge``.
        axis: what the first axis of the result counts.
        seed: of the random order.
        tolerance: largest relative deviation, see :func:`require`.

    Returns:
        The relative deviation.

    Raises:
        AssertionError: the law is broken.
        ValueError: ``axis`` is ``"edges"`` and ``data`` has none.
    """
    if axis == "edges" and "edge_index" not in data:
        raise ValueError("'data' must hold 'edge_index' for a result on edges, got none: attach the edges first.")
    generator = torch.Generator().manual_seed(seed)
    order = {"nodes": torch.randperm(data.num_nodes, generator=generator), "graphs": torch.arange(1)}
    if "edge_index" in data:
        order["edges"] = torch.randperm(data.num_edges, generator=generator)
    permuted = data.clone()
    for key, value in data.to_dict().items():
        if key == "edge_index":
            permuted[key] = torch.argsort(order["nodes"])[value[:, order["edges"]]]
        elif key == "shifts" or "edge" in key:
            permuted[key] = value[order["edges"]]
        elif isinstance(value, Tensor) and value.shape[:1] == (data.num_nodes,) and key not in ("cell", "pbc"):
            permuted[key] = value[order["nodes"]]
    return require("permutation law", function(permuted), function(data)[order[axis]], tolerance)


def assert_translation_law(function: Function, data: Data, *, seed: int = 0, tolerance: float | None = None) -> float:
    """A structure moved as a whole, by some angstrom in each direction, gives the same result.

    Args:
        function: maps a structure to a tensor.
        data: the structure.
        seed: of the random translation.
        tolerance: largest relative deviation, see :func:`require`.

    Returns:
        The relative deviation.

    Raises:
        AssertionError: the law is broken.
    """
    moved = data.clone()
    moved.pos = data.pos + torch.randn(3, dtype=torch.float64, generator=_generator(seed)).to(data.pos)
    return require("translation law", function(moved), function(data), tolerance)


def assert_rotation_law(
    function: Function,
    data: Data,
    degrees: Int[Tensor, " angular"] | None = None,
    *,
    seed: int = 0,
    tolerance: float | None = None,
) -> float:
    """A rotated structure gives the same result, or one rotated with the Wigner matrices of its degrees.

    Args:
        function: maps a structure to a tensor; with ``degrees``, of shape (any, angular, ...).
        data: the structure, with ``pos`` and perhaps ``cell``.
        degrees: None for a result that is invariant; the degree of each component on the second axis of one that is
            equivariant, in e3nn's order, 2l+1 entries l for each degree: ``[1, 1, 1]`` for a Cartesian vector.
        seed: of the random rotation.
        tolerance: largest relative deviation, see :func:`require`.

    Returns:
        The relative deviation.

    Raises:
        AssertionError: the law is broken.
    """
    matrix, _ = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=_generator(seed)))
    return _turned("rotation law", function, data, matrix * torch.linalg.det(matrix), degrees, tolerance)


def assert_inversion_law(
    function: Function,
    data: Data,
    degrees: Int[Tensor, " angular"] | None = None,
    *,
    tolerance: float | None = None,
) -> float:
    """A structure reflected through the origin gives the same result, or one with the sign (-1)^l of its degrees.

    Args:
        function: maps a structure to a tensor; with ``degrees``, of shape (any, angular, ...).
        data: the structure, with ``pos`` and perhaps ``cell``.
        degrees: None for a result that is invariant, else the degree of each component on the second axis.
        tolerance: largest relative deviation, see :func:`require`.

    Returns:
        The relative deviation.

    Raises:
        AssertionError: the law is broken.
    """
    return _turned("inversion law", function, data, -torch.eye(3, dtype=torch.float64), degrees, tolerance)


def wigner_matrix(degrees: Int[Tensor, " angular"], matrix: Float[Tensor, "3 3"]) -> Float[Tensor, "angular angular"]:
    r"""Matrix that turns components of spherical harmonics as ``matrix`` turns vectors.

    .. math:: Y(R \mathbf r) = D(R) \, Y(\mathbf r)

    Args:
        degrees: degree of each component, 2l+1 entries l for each degree.
        matrix: rotation, or rotation times inversion, R.

    Returns:
        D, one block for each degree, in the dtype of ``matrix``.

    Source:
        e3nn's conventions, Geiger and Smidt, arXiv:2207.09453; degree l has parity :math:`(-1)^l`.

    Example:
        >>> wigner_matrix(torch.tensor([0, 1, 1, 1]), -torch.eye(3)).diagonal()
        tensor([ 1., -1., -1., -1.])
    """
    blocks, start = [], 0
    while start < len(degrees):
        l = int(degrees[start])
        blocks.append(o3.Irrep(l, (-1) ** l).D_from_matrix(matrix))
        start += 2 * l + 1
    wigner: Tensor = torch.block_diag(*blocks)  # type: ignore[no-untyped-call]
    return wigner


def _turned(
    law: str,
    function: Function,
    data: Data,
    matrix: Float[Tensor, "3 3"],
    degrees: Int[Tensor, " angular"] | None,
    tolerance: float | None,
) -> float:
    turned = data.clone()
    for key in ("pos", "cell"):
        if key in data:
            turned[key] = (data[key].double() @ matrix.T).to(data.pos)
    expected = function(data)
    if degrees is not None:
        wigner = wigner_matrix(degrees, matrix).to(expected)
        expected = torch.einsum("ab,nb...->na...", wigner, expected)
    return require(law, function(turned), expected, tolerance)


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
