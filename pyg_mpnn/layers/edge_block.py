"""What the blocks that gather from or sum over edges share: the inputs they take, and what is fixed about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.nn import MessagePassing
from torch_geometric.typing import SparseTensor
from torch_geometric.utils import is_sparse, to_edge_index

from pyg_mpnn.scatter import NeighborSum

if TYPE_CHECKING:
    from typing_extensions import Self

Adjacency = Int[Tensor, "2 edges"] | Float[Tensor, "_ _"] | SparseTensor
"""Edges, source first; or, as PyG's layers take it, the transposed adjacency matrix: rows receive, columns send."""

NodeFeatures = Float[Tensor, "nodes _"] | tuple[Float[Tensor, "_ _"], Float[Tensor, "nodes _"]]
"""Features of the nodes, or of the senders and of the receivers."""

NodeDensity = (
    Float[Tensor, "nodes angular channels"]
    | tuple[Float[Tensor, "_ angular channels"], Float[Tensor, "nodes angular channels"]]
)
"""Directional density of the nodes, or of the senders and of the receivers."""

Values = TypeVar("Values", Tensor, Tensor | None)

_FIXED = {
    "flow": "edge_index[0] sends and edge_index[1] receives; swap the rows of 'edge_index'",
    "aggr": "only a sum is smooth at the cutoff and adds up; divide by 'nu' for a mean",
    "aggr_module": "only a sum is smooth at the cutoff and adds up; divide by 'nu' for a mean",
    "node_dim": "nodes and edges are the first axis",
    "decomposed_layers": "channels are not independent of each other",
}


class EdgeBlock(MessagePassing):
    r"""PyG's ``MessagePassing`` with what is the same in all blocks: a sum or nothing, sources first, nodes first.

    A block gives ``edge_index`` to :func:`edge_pairs` and its node tensors to :func:`ends`, and so takes what PyG's
    layers take: a pair (senders, receivers) of node tensors, a sparse adjacency, an ``EdgeIndex``. ``flow``, ``aggr``,
    ``node_dim`` and ``decomposed_layers`` of PyG are refused: another value would give other physics.

    Args:
        sums: whether the block sums over the edges of a node; if not, it returns a row for each edge.

    Raises:
        ValueError: a setting of PyG that is fixed here, at construction or later.
    """

    def __new__(cls, *arguments: Any, **options: Any) -> Self:
        """Refuse the settings of PyG by name, not as unknown arguments."""
        for name in _FIXED.keys() & options.keys():
            _refuse(name, options[name], cls.__name__)
        block: Self = super().__new__(cls)
        return block

    def __init__(self, *, sums: bool) -> None:
        super().__init__(aggr=NeighborSum() if sums else None, node_dim=0)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _FIXED and getattr(self, name, value) != value:
            _refuse(name, value, type(self).__name__)
        super().__setattr__(name, value)


def _refuse(name: str, value: Any, block: str) -> None:
    raise ValueError(f"'{name}' of {block} is fixed, got {value!r}: {_FIXED[name]}")


def edge_pairs(edge_index: Tensor | SparseTensor) -> Tensor:
    """Edges as ``(2, edges)``, source first.

    Args:
        edge_index: edges, as a tensor or PyG's ``EdgeIndex``; or the transposed adjacency matrix ``adj_t`` as a
            ``torch.sparse`` tensor or a ``SparseTensor``, whose rows receive. Tensors of the edges come in the order of
            its entries: by receiver, then by sender.

    Returns:
        the edges as a plain tensor.
    """
    if type(edge_index) is Tensor and edge_index.layout is torch.strided:
        return edge_index  # asked first: what follows takes 2 us, which adds up over the blocks of a small molecule
    if isinstance(edge_index, EdgeIndex):
        pairs: Tensor = edge_index.as_tensor()
        return pairs
    if not is_sparse(edge_index):
        return edge_index
    if isinstance(edge_index, Tensor) and edge_index.layout == torch.sparse_coo and not edge_index.is_coalesced():
        raise ValueError(
            "'edge_index' must be coalesced if it is a sparse COO tensor, because its entries have no order else, got "
            "one that is not: pass a tensor of shape (2, edges), or give edge tensors in the order after coalesce()"
        )
    matrix: Tensor = to_edge_index(edge_index)[0]  # rows receive
    return matrix.flip(0)


def ends(values: Values | tuple[Values, Values]) -> tuple[Values, Values]:
    """Values of the senders and of the receivers; one tensor holds both.

    Args:
        values: one tensor for all nodes, or a pair.

    Returns:
        the pair.

    Raises:
        ValueError: one of the pair is None.
    """
    if not isinstance(values, tuple | list):
        return values, values
    source, target = values
    if source is None or target is None:
        raise ValueError(
            "a pair of node tensors must hold senders and receivers, got None for one of them: give atoms that only "
            "receive or only send their features too"
        )
    return source, target
