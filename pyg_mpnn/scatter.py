"""Sums and maxima over segments: torch by default, torch-scatter on request, with equal values and gradients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Literal

from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric.nn import Aggregation
from torch_geometric.utils import scatter

ScatterBackend = Literal["torch", "torch-scatter"]
_backend: ScatterBackend = "torch"  # a plain global, which torch.compile can read


@contextmanager
def scatter_backend(name: ScatterBackend) -> Iterator[None]:
    """Choose the package that sums over segments inside a ``with`` block.

    Both give the same values, first and second derivatives. ``"torch"`` is the default: ``benchmarks/speed/scatter.py``
    times both, and its result file says where which one is faster. The choice holds for the whole process.

    Args:
        name: ``"torch"`` (``index_add`` for sums, PyG's ``scatter`` for maxima) or ``"torch-scatter"``.

    Yields:
        nothing.

    Raises:
        ValueError: another name.
        ImportError: torch-scatter is asked for and not installed.

    Example:
        >>> import torch
        >>> with scatter_backend("torch"):
        ...     scatter_sum(torch.ones(3, 1), torch.tensor([0, 2, 2]), 3).flatten()
        tensor([1., 0., 2.])
    """
    if name not in ("torch", "torch-scatter"):
        raise ValueError(f"'name' must be 'torch' or 'torch-scatter', got {name!r}")
    if name == "torch-scatter":
        _import_torch_scatter()
    global _backend
    previous, _backend = _backend, name
    try:
        yield
    finally:
        _backend = previous


def scatter_sum(src: Float[Tensor, "..."], index: Int[Tensor, " _"], num_segments: int, dim: int = 0) -> Tensor:
    """Sum the rows of ``src`` along ``dim`` that share an index; segments without a row are zero."""
    if index.dim() != 1 or index.shape[0] != src.shape[dim]:
        raise ValueError(
            f"'index' must hold one number for each of the {src.shape[dim]} rows along 'dim' {dim}, got shape "
            f"{tuple(index.shape)}: name the axis of the rows by 'dim' (PyG's default is the last but one)"
        )
    if _backend == "torch-scatter":
        result: Tensor = _import_torch_scatter().scatter_add(src, index, dim=dim, dim_size=num_segments)
        return result
    shape = list(src.shape)
    shape[dim] = num_segments
    return src.new_zeros(shape).index_add(dim, index, src)


def scatter_max(
    src: Float[Tensor, "edges ..."], index: Int[Tensor, " edges"], num_segments: int
) -> Float[Tensor, "nodes ..."]:
    """Largest row of ``src`` for each index; segments without a row are zero."""
    result: Tensor
    if _backend == "torch-scatter":
        result = _import_torch_scatter().scatter_max(src, index, dim=0, dim_size=num_segments)[0]
    else:
        result = scatter(src, index, dim=0, dim_size=num_segments, reduce="max")
    return result


class NeighborSum(Aggregation):
    r"""Sum over neighbours as a PyG aggregation, by the package of :func:`scatter_backend`.

    .. math:: y_i = \sum_{e: \, \mathrm{index}_e = i} x_e

    with the row :math:`x_e` of edge e; a node without edges gets zero.

    Shapes:
        ``x`` ``(edges, channels)``, ``index`` ``(edges,)``; output ``(nodes, channels)``, nodes = ``dim_size``. Edges
        and nodes are along the axis ``dim``.

    Units:
        those of ``x``.

    Raises:
        ValueError: when called without ``index``, or with one that does not fit ``x``.

    Source:
        textbook; as PyG's ``SumAggregation``.

    Example:
        >>> import torch
        >>> NeighborSum()(torch.ones(3, 1), torch.tensor([0, 2, 2]), dim_size=3).flatten()
        tensor([1., 0., 2.])
    """

    def forward(
        self,
        x: Tensor,
        index: Tensor | None = None,
        ptr: Tensor | None = None,
        dim_size: int | None = None,
        dim: int = 0,
    ) -> Tensor:
        """Sum the rows of ``x`` along ``dim`` by ``index``."""
        if index is None or dim_size is None:
            raise ValueError("'index' and 'dim_size' must be given to sum over neighbours, got None")
        return scatter_sum(x, index, dim_size, dim)


def _import_torch_scatter() -> ModuleType:
    try:
        import torch_scatter
    except ImportError as error:
        raise ImportError(
            "the 'torch-scatter' backend needs the package torch-scatter; install it with: "
            'pip install --no-build-isolation "pyg_mpnn[cluster]"'
        ) from error
    module: ModuleType = torch_scatter
    return module
