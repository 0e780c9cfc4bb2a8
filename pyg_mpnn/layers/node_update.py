"""New node features from the sum over neighbours."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from pyg_mpnn.arguments import check_whole
from pyg_mpnn.basis.symmetry import Symmetry, nonlinear
from pyg_mpnn.layers.edge_block import Adjacency, EdgeBlock, NodeFeatures, edge_pairs, ends
from pyg_mpnn.mlp import MLP


class NodeUpdate(EdgeBlock):
    r"""Sum the messages at each atom and add the result of a network to the atom's features.

    .. math:: h_i' = h_i + \mathrm{MLP}\Big(h_i, \sum_j m_{ij}, P_i\Big)

    with messages :math:`m_{ij}` that already carry cutoff, attention and :math:`1/\nu`, and, where directions are in
    use, the powers :math:`P_i` of the directional density. As in every PyG layer, :meth:`update` is the part after the
    sum.

    Args:
        in_channels: width of the node features.
        message_channels: width of the messages.
        power_channels: width of the powers, 0 for none.
        hidden_channels: width of the hidden layer.

    Shapes:
        ``x`` ``(nodes, in_channels)``, ``edge_index`` ``(2, edges)``, ``edge_attr`` ``(edges, message_channels)``,
        ``powers`` ``(nodes, power_channels)``; output ``(nodes, in_channels)``.

    Units:
        none.

    Raises:
        ValueError: a width below 1 (below 0 for ``power_channels``).
        TypeError: when called: messages that are a pair.

    Source:
        Gilmer et al., ICML 2017, arXiv:1704.01212, section 2 (update function), made residual.

    Example:
        >>> import torch
        >>> layer = NodeUpdate(8, message_channels=5)
        >>> layer(torch.ones(3, 8), torch.tensor([[1, 0], [0, 1]]), torch.ones(2, 5)).shape
        torch.Size([3, 8])
    """

    def __init__(
        self, in_channels: int, message_channels: int, power_channels: int = 0, hidden_channels: int | None = None
    ) -> None:
        super().__init__(sums=True)
        check_whole(in_channels=in_channels, message_channels=message_channels)
        check_whole(0, power_channels=power_channels)
        if hidden_channels is not None:
            check_whole(hidden_channels=hidden_channels)
        self.in_channels, self.message_channels, self.power_channels = in_channels, message_channels, power_channels
        self.hidden_channels = in_channels if hidden_channels is None else hidden_channels
        self.mlp = MLP([in_channels + message_channels + power_channels, self.hidden_channels, in_channels])

    def reset_parameters(self) -> None:
        """Draw new weights."""
        super().reset_parameters()
        self.mlp.reset_parameters()

    def symmetry(self, x: Symmetry, edge_attr: Symmetry, powers: Symmetry = "invariant") -> Symmetry:
        """Symmetry of the new features."""
        return nonlinear(x, edge_attr, powers)

    def forward(
        self,
        x: NodeFeatures,
        edge_index: Adjacency,
        edge_attr: Float[Tensor, "edges _"],
        powers: NodeFeatures | None = None,
    ) -> Float[Tensor, "nodes _"]:
        """Sum over neighbours, then update."""
        if isinstance(edge_attr, tuple):  # from PyG's to_hetero, which gives node tensors as pairs
            raise TypeError(
                "'edge_attr' must hold one row for each edge, got a pair: to_hetero takes a MessagePassing, such as "
                "EdgeMLP, for one with a row for each node; call it inside a module of your own, as in Messages"
            )
        source, target = ends(x)
        new: Tensor = self.propagate(
            edge_pairs(edge_index),
            x=target,
            edge_attr=edge_attr,
            powers=ends(powers)[1],
            size=(source.shape[0], target.shape[0]),
        )
        return new

    def message(self, edge_attr: Tensor) -> Tensor:
        """The message as it came."""
        return edge_attr

    def update(self, inputs: Tensor, x: Tensor, powers: Tensor | None) -> Tensor:
        """New features from the sum of messages ``inputs``."""
        parts = [x, inputs] if powers is None else [x, inputs, powers]
        new: Tensor = x + self.mlp(torch.cat(parts, dim=-1))
        return new

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.in_channels}, {self.message_channels}, power_channels={self.power_channels}, "
            f"hidden_channels={self.hidden_channels})"
        )
