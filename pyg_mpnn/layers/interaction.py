"""One layer of message passing, with one cutoff or several."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float, Int
from torch import Tensor, nn
from torch_geometric.typing import SparseTensor

from pyg_mpnn.layers.density import DensityUpdate
from pyg_mpnn.layers.edge_block import Adjacency, NodeDensity, NodeFeatures
from pyg_mpnn.layers.message_layer import MessageLayer
from pyg_mpnn.layers.messages import Messages
from pyg_mpnn.layers.node_update import NodeUpdate
from pyg_mpnn.layers.powers import DensityPowers
from pyg_mpnn.layers.product_interaction import ProductUpdate


class Interaction(MessageLayer):
    r"""One message-passing layer: messages, their sum, the density carried on, and the node update.

    .. math::
        A_i' = P_n \circ \ldots \circ P_1 \big( A_i + \Delta A_i(m) \big), \quad
        h_i' = h_i + \mathrm{MLP}\Big(h_i, \sum_j m_{ij}, \langle A_i' W, A_i' W' \rangle_l\Big)

    with the messages m of :class:`Messages`, the change of the directional density of :class:`DensityUpdate`, the
    products :math:`P` of :class:`ProductUpdate`, of which there may be none, and the powers of :class:`DensityPowers`.
    Without these parts the density passes unchanged and costs nothing.

    Args:
        messages: makes the weighted message of each edge.
        node_update: makes the new node features from the sum.
        density_update: change of the directional density, ``None`` for none.
        powers: invariants of the new density for the node update, ``None`` for none.
        products: products of the new density with itself at the atom, one after the other; none without.

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
        products: Sequence[ProductUpdate] = (),
    ) -> None:
        if messages.out_channels != node_update.message_channels:
            raise ValueError(
                f"'node_update' must take messages of {messages.out_channels} channels, got "
                f"{node_update.message_channels}"
            )
        super().__init__(messages, node_update, density_update, powers, products)

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


class MultiScale(MessageLayer):
    r"""One message-passing layer over several cutoffs: messages of every scale, one node update.

    .. math::
        A_i' = P_n \circ \ldots \circ P_1 \big( A_i + \sum_s \Delta A_i(m^s) \big), \quad
        h_i' = h_i + \mathrm{MLP}\Big(h_i, \sum_s \sum_j m^s_{ij}, \langle A_i' W, A_i' W' \rangle_l\Big)

    with one :class:`Messages` (its own edge network, attention and :math:`\nu`) for each scale s. Every tensor of the
    edges comes once for each scale: the smaller lists are selections from the largest, of which radial basis and
    spherical harmonics are shared while the cutoff function belongs to its scale.

    Args:
        messages: makes the weighted messages, one for each scale, with equal output width.
        node_update: makes the new node features from the sum over all scales.
        density_update: change of the directional density, the same function of the messages for all scales, ``None``
            for none.
        powers: invariants of the new density for the node update, ``None`` for none.
        products: products of the new density with itself at the atom, one after the other; none without.

    Shapes:
        ``x`` ``(nodes, in_channels)``; for each scale ``edge_index`` ``(2, edges)``, ``radial`` ``(edges, radial)``,
        ``envelope`` ``(edges,)``, ``sphere`` ``(edges, angular)``; ``density`` ``(nodes, angular, channels)``; output:
        new ``x`` and ``density``, as they came.

    Units:
        none.

    Raises:
        ValueError: no scale, widths that do not fit, or edge tensors for another number of scales.

    Source:
        own design.

    Example:
        >>> import torch
        >>> from pyg_mpnn import EdgeMLP, Messages, NodeUpdate, RadialFeatures
        >>> scale = [Messages(RadialFeatures(3, out_channels=4), EdgeMLP(8, 4, 6, 5), num_radial=3) for _ in range(2)]
        >>> layer = MultiScale(scale, NodeUpdate(8, message_channels=5))
        >>> near, far = torch.tensor([[1, 0], [0, 1]]), torch.tensor([[1, 0, 2], [0, 1, 1]])
        >>> radial, envelope = [torch.ones(2, 3), torch.ones(3, 3)], [torch.ones(2), torch.ones(3)]
        >>> x, _ = layer(torch.ones(3, 8), [near, far], radial, envelope)
        >>> x.shape
        torch.Size([3, 8])
    """

    def __init__(
        self,
        messages: Sequence[Messages],
        node_update: NodeUpdate,
        density_update: DensityUpdate | None = None,
        powers: DensityPowers | None = None,
        products: Sequence[ProductUpdate] = (),
    ) -> None:
        widths = {scale.out_channels for scale in messages}
        if widths != {node_update.message_channels}:
            raise ValueError(
                f"'messages' must hold at least one scale, all with the {node_update.message_channels} channels of "
                f"'node_update', got widths {sorted(widths)}"
            )
        super().__init__(nn.ModuleList(messages), node_update, density_update, powers, products)

    def forward(
        self,
        x: NodeFeatures,
        edge_index: Sequence[Int[Tensor, "2 _"] | Float[Tensor, "_ _"] | SparseTensor],
        radial: Sequence[Float[Tensor, "_ radial"]],
        envelope: Sequence[Float[Tensor, " _"]],
        sphere: Sequence[Float[Tensor, "_ angular"] | None] | None = None,
        density: NodeDensity | None = None,
    ) -> tuple[Float[Tensor, "nodes _"], Float[Tensor, "nodes angular channels"] | None]:
        """New node features and new density."""
        count = len(self.scales)
        sphere = [None] * count if sphere is None else sphere
        if not count == len(edge_index) == len(radial) == len(envelope) == len(sphere):
            raise ValueError(
                f"'edge_index', 'radial', 'envelope' and 'sphere' must hold one tensor for each of "
                f"{count} scales, got {len(edge_index)}, {len(radial)}, {len(envelope)} and {len(sphere)}"
            )
        return self.advance(x, edge_index, radial, envelope, sphere, density)
