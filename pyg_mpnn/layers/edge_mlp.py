"""Message of an edge from receiver, sender and edge features."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from pyg_mpnn.arguments import check_whole
from pyg_mpnn.basis.symmetry import Symmetry, nonlinear
from pyg_mpnn.layers.edge_block import Adjacency, EdgeBlock, NodeFeatures, edge_pairs, ends
from pyg_mpnn.mlp import MLP


class EdgeMLP(EdgeBlock):
    r"""Message of an edge from the features of receiver, sender and the edge itself.

    .. math:: m_{ij} = \mathrm{MLP}(h_i, h_j, RY_{ij})

    The first layer of the network is linear in its three inputs, so it is computed as
    :math:`W_i h_i + W_j h_j + W_e RY_{ij} + b`: the products with :math:`h` are done once an atom, not once an edge.

    Args:
        in_channels: width of the node features :math:`h`.
        edge_dim: width of the edge features :math:`RY`.
        hidden_channels: width of the hidden layer on the edges.
        out_channels: width of the message.

    Shapes:
        ``x`` ``(nodes, in_channels)``, ``edge_index`` ``(2, edges)``, ``edge_attr`` ``(edges, edge_dim)``; output
        ``(edges, out_channels)``.

    Units:
        none.

    Raises:
        ValueError: a width below 1.

    Source:
        Gilmer et al., ICML 2017, arXiv:1704.01212, section 2 (message function); the split of the first layer is own
        design.

    Example:
        >>> import torch
        >>> layer = EdgeMLP(8, edge_dim=4, hidden_channels=6, out_channels=5)
        >>> layer(torch.ones(3, 8), torch.tensor([[1, 0], [0, 1]]), torch.ones(2, 4)).shape
        torch.Size([2, 5])
    """

    def __init__(self, in_channels: int, edge_dim: int, hidden_channels: int, out_channels: int) -> None:
        super().__init__(sums=False)
        check_whole(in_channels=in_channels, edge_dim=edge_dim)
        check_whole(hidden_channels=hidden_channels, out_channels=out_channels)
        self.in_channels, self.edge_dim = in_channels, edge_dim
        self.hidden_channels, self.out_channels = hidden_channels, out_channels
        self.receiver = nn.Linear(in_channels, hidden_channels, bias=False)
        self.sender = nn.Linear(in_channels, hidden_channels, bias=False)
        self.edge = nn.Linear(edge_dim, hidden_channels)
        self.activation = nn.SiLU()
        self.mlp = MLP([hidden_channels, out_channels], activate_last=True)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights."""
        super().reset_parameters()
        for linear in (self.receiver, self.sender, self.edge):
            nn.init.xavier_uniform_(linear.weight)
        nn.init.zeros_(self.edge.bias)
        self.mlp.reset_parameters()

    def symmetry(self, x: Symmetry, edge_attr: Symmetry) -> Symmetry:
        """Symmetry of the message."""
        return nonlinear(x, edge_attr)

    def forward(
        self, x: NodeFeatures, edge_index: Adjacency, edge_attr: Float[Tensor, "edges _"]
    ) -> Float[Tensor, "edges _"]:
        """Message of each edge."""
        source, target = ends(x)
        pair = self.sender(source), self.receiver(target)
        message: Tensor = self.edge_updater(edge_pairs(edge_index), x=pair, edge_attr=self.edge(edge_attr))
        return message

    def edge_update(self, x_i: Tensor, x_j: Tensor, edge_attr: Tensor) -> Tensor:
        """m_ij of the formula."""
        message: Tensor = self.mlp(self.activation(x_i + x_j + edge_attr))
        return message

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.in_channels}, {self.edge_dim}, {self.hidden_channels}, {self.out_channels})"
        )
