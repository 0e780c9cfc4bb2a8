"""One message-passing layer at one cutoff."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from pyg_mpnn.layers.density_update import DensityUpdate
from pyg_mpnn.layers.edge_block import Adjacency, NodeDensity, NodeFeatures
from pyg_mpnn.layers.message_layer import MessageLayer
from pyg_mpnn.layers.messages import Messages
from pyg_mpnn.layers.node_update import NodeUpdate
from pyg_mpnn.layers.powers import DensityPowers


class Interaction(MessageLayer):
    r"""One message-passing layer: messages, their sum, the density carried on, and the node update.

    .. math::
        A_i' = A_i + \Delta A_i(m), \quad
        h_i' = h_i + \mathrm{MLP}\Big(h_i, \sum_j m_{ij}, \langle A_i' W, A_i' W' \rangle_l\Big)

    with the messages m of :class:`Messages`, the change of the directional density of :class:`DensityUpdate` and the
    powers of :class:`DensityPowers`. Without ``density_update`` and ``powers`` the density passes unchanged and costs
    nothing.

    Args:
        messages: makes the weighted message of each edge.
        node_update: makes the new node features from the sum.
        density_update: change of the directional density, ``None`` for none.
        powers: invariants of the new density for the node update, ``None`` for none.

    Shapes:
        ``x`` ``(nodes, in_channels)``, ``edge_index`` ``(2, edges)``, ``radial`` ``(edges, radial)``, ``envelope``
        ``(edges,)``, ``sphere`` ``(edges, angular)``, ``density`` ``(nodes, angular, channels)``; output: new ``x`` and
        ``density``, as they came.

    Units:
        none.

    Raises:
        ValueError: widths of messages and node update that do not fit.

    Source:
        own design; the pattern is that of Gilmer et al., ICML 2017, arXiv:1704.01212, section 2.

    Example:
        >>> import torch
        >>> from pyg_mpnn import EdgeMLP, Messages, NodeUpdate, RadialFeatures
        >>> messages = Messages(RadialFeatures(3, out_channels=4), EdgeMLP(8, 4, 6, 5), num_radial=3)
        >>> layer = Interaction(messages, NodeUpdate(8, message_channels=5))
        >>> x, _ = layer(torch.ones(2, 8), torch.tensor([[1, 0], [0, 1]]), torch.ones(2, 3), torch.ones(2))
        >>> x.shape
        torch.Size([2, 8])
    """

    def __init__(
        self,
        messages: Messages,
        node_update: NodeUpdate,
        density_update: DensityUpdate | None = None,
        powers: DensityPowers | None = None,
    ) -> None:
        if messages.out_channels != node_update.message_channels:
            raise ValueError(
                f"'node_update' must take messages of {messages.out_channels} channels, got "
                f"{node_update.message_channels}"
            )
        super().__init__(messages, node_update, density_update, powers)

    def forward(
        self,
        x: NodeFeatures,
        edge_index: Adjacency,
        radial: Float[Tensor, "edges radial"],
        envelope: Float[Tensor, " edges"],
        sphere: Float[Tensor, "edges angular"] | None = None,
        density: NodeDensity | None = None,
    ) -> tuple[Float[Tensor, "nodes _"], Float[Tensor, "nodes angular channels"] | None]:
        """New node features and new density."""
        return self.advance(x, [edge_index], [radial], [envelope], [sphere], density)
