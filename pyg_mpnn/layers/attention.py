"""Attention over the neighbours of an atom."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pyg_mpnn.arguments import check_whole
from pyg_mpnn.basis.symmetry import Symmetry, nonlinear
from pyg_mpnn.layers.edge_block import Adjacency, EdgeBlock, NodeFeatures, edge_pairs, ends
from pyg_mpnn.scatter import scatter_max, scatter_sum


class Attention(EdgeBlock, ABC):
    r"""Interface: a weight :math:`\alpha_{ij}` for each edge and head from

    .. math:: s_{ij} = \langle W h_i + w, m_{ij} \rangle / \sqrt{d}

    with the receiver's features :math:`h_i`, the message :math:`m_{ij}`, and d channels in a head.

    Args:
        in_channels: width of the node features.
        edge_dim: width of the messages, a multiple of ``heads``.
        heads: number of heads, each with its own weight for its own channels.

    Shapes:
        ``forward(x, edge_index, edge_attr, envelope)`` maps ``(nodes, in_channels)``, ``(2, edges)``, ``(edges,
        edge_dim)`` and ``(edges,)`` to ``(edges, heads)``.

    Raises:
        ValueError: a width below 1, or ``edge_dim`` not a multiple of ``heads``.
    """

    def __init__(self, in_channels: int, edge_dim: int, heads: int = 1) -> None:
        super().__init__(sums=False)
        check_whole(in_channels=in_channels, edge_dim=edge_dim, heads=heads)
        if edge_dim % heads:
            raise ValueError(f"'edge_dim' must be a multiple of 'heads', got {edge_dim} and {heads}")
        self.in_channels, self.edge_dim, self.heads = in_channels, edge_dim, heads
        self.query = nn.Linear(in_channels, edge_dim)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights."""
        super().reset_parameters()
        nn.init.xavier_uniform_(self.query.weight)
        nn.init.zeros_(self.query.bias)

    def symmetry(self, x: Symmetry, edge_attr: Symmetry) -> Symmetry:
        """Symmetry of the weights."""
        return nonlinear(x, edge_attr)

    @abstractmethod
    def forward(
        self,
        x: NodeFeatures,
        edge_index: Adjacency,
        edge_attr: Float[Tensor, "edges _"],
        envelope: Float[Tensor, " edges"],
    ) -> Float[Tensor, "edges heads"]:
        """Weight of each edge in each head."""

    def score(self, query_i: Tensor, edge_attr: Tensor) -> Tensor:
        """s_ij of the formula."""
        products = torch.unflatten(query_i * edge_attr, -1, (self.heads, -1))  # (edges, heads, channels)
        return products.sum(dim=-1) / math.sqrt(self.edge_dim // self.heads)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.in_channels}, {self.edge_dim}, heads={self.heads})"


class SigmoidAttention(Attention):
    r"""Gate for each edge that does not depend on the other edges.

    .. math:: \alpha_{ij} = \mathrm{sigmoid}(s_{ij}), \quad s_{ij} = \langle W h_i + w, m_{ij} \rangle / \sqrt{d}

    with the receiver's features :math:`h_i`, the message :math:`m_{ij}` and d channels in a head. The sum over
    neighbours stays extensive in the number of neighbours.

    Args:
        in_channels: width of the node features.
        edge_dim: width of the messages, a multiple of ``heads``.
        heads: number of heads, each with its own weight for its own channels.

    Shapes:
        ``x`` ``(nodes, in_channels)``, ``edge_index`` ``(2, edges)``, ``edge_attr`` ``(edges, edge_dim)``, ``envelope``
        ``(edges,)`` (not used); output ``(edges, heads)``.

    Units:
        none; between 0 and 1.

    Raises:
        ValueError: a width below 1, or ``edge_dim`` not a multiple of ``heads``.

    Source:
        gate of Satorras, Hoogeboom and Welling, ICML 2021 (EGNN), arXiv:2102.09844, Eq. (8), with a query of the
        receiver.

    Example:
        >>> import torch
        >>> layer = SigmoidAttention(4, edge_dim=6, heads=2)
        >>> layer(torch.ones(2, 4), torch.tensor([[1, 0], [0, 1]]), torch.ones(2, 6), torch.ones(2)).shape
        torch.Size([2, 2])
    """

    def forward(
        self,
        x: NodeFeatures,
        edge_index: Adjacency,
        edge_attr: Float[Tensor, "edges _"],
        envelope: Float[Tensor, " edges"],
    ) -> Float[Tensor, "edges heads"]:
        """Sigmoid of the scores."""
        query = self.query(ends(x)[1])
        alpha: Tensor = self.edge_updater(edge_pairs(edge_index), query=query, edge_attr=edge_attr)
        return alpha

    def edge_update(self, query_i: Tensor, edge_attr: Tensor) -> Tensor:
        """alpha_ij of the formula."""
        return self.score(query_i, edge_attr).sigmoid()


class SoftmaxAttention(Attention):
    r"""Weights that compare the neighbours of an atom, smooth when a neighbour enters or leaves the cutoff.

    .. math::
        \alpha_{ij} = \frac{f_c(r_{ij}) \, e^{s_{ij} - M_i}}{e^{-M_i} + \sum_k f_c(r_{ik}) \, e^{s_{ik} - M_i}}, \quad
        M_i = \max(0, \max_k s_{ik}), \quad s_{ij} = \langle W h_i + w, m_{ij} \rangle / \sqrt{d}

    with the receiver's features :math:`h_i`, the message :math:`m_{ij}`, the cutoff function :math:`f_c` and d channels
    in a head. The term :math:`e^{-M_i}` stands for "no neighbour": it keeps the weights smooth, and finite when the
    last neighbour leaves. M only shifts the exponents, so it carries no gradient.

    Args:
        in_channels: width of the node features.
        edge_dim: width of the messages, a multiple of ``heads``.
        heads: number of heads, each with its own weight for its own channels.

    Shapes:
        ``x`` ``(nodes, in_channels)``, ``edge_index`` ``(2, edges)``, ``edge_attr`` ``(edges, edge_dim)``, ``envelope``
        ``(edges,)``; output ``(edges, heads)``.

    Units:
        none; the weights of an atom are positive and sum to less than 1.

    Raises:
        ValueError: a width below 1, or ``edge_dim`` not a multiple of ``heads``.

    Source:
        Vaswani et al., NeurIPS 2017, arXiv:1706.03762, Eq. (1); cutoff inside and the "no neighbour" term are own
        design.

    Example:
        >>> import torch
        >>> layer = SoftmaxAttention(4, edge_dim=6, heads=2)
        >>> layer(torch.ones(2, 4), torch.tensor([[1, 0], [0, 1]]), torch.ones(2, 6), torch.ones(2)).shape
        torch.Size([2, 2])
    """

    def forward(
        self,
        x: NodeFeatures,
        edge_index: Adjacency,
        edge_attr: Float[Tensor, "edges _"],
        envelope: Float[Tensor, " edges"],
    ) -> Float[Tensor, "edges heads"]:
        """Smooth softmax of the scores over the neighbours of each receiver."""
        query = self.query(ends(x)[1])
        alpha: Tensor = self.edge_updater(
            edge_pairs(edge_index), query=query, edge_attr=edge_attr, envelope=envelope.unsqueeze(-1)
        )
        return alpha

    def edge_update(
        self, query_i: Tensor, edge_attr: Tensor, envelope: Tensor, index: Tensor, dim_size: int | None
    ) -> Tensor:
        """alpha_ij of the formula, of the edges that end in the nodes ``index``."""
        assert dim_size is not None  # the query has a row for each receiver
        score = self.score(query_i, edge_attr)
        score = torch.where(envelope > 0, score, 0)  # beyond the cutoff a score must not set the scale
        largest = scatter_max(score.detach(), index, dim_size).clamp(min=0)  # (nodes, heads)
        weight = envelope * (score - largest[index]).exp()
        total = (-largest).exp() + scatter_sum(weight, index, dim_size)
        return weight / total[index]
