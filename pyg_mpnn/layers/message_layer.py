"""What the message-passing layers share: one node update, and a density that is carried on."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

from pyg_mpnn.basis.symmetry import Symmetry
from pyg_mpnn.layers.density_update import DensityUpdate
from pyg_mpnn.layers.messages import Messages
from pyg_mpnn.layers.node_update import NodeUpdate
from pyg_mpnn.layers.powers import DensityPowers
from pyg_mpnn.scatter import NeighborSum


class MessageLayer(MessagePassing):
    r"""Interface of the layers: sums over neighbours, which differ, and what is made of them, which does not.

    .. math::
        A_i' = A_i + \Delta A_i, \quad
        h_i' = h_i + \mathrm{MLP}\Big(h_i, M_i, \langle A_i' W, A_i' W' \rangle_l\Big)

    with the sum of messages :math:`M_i` and the change of the density :math:`\Delta A_i`. A subclass writes
    ``neighbor_sums``, which gives both, with :meth:`scale_sums` for each of its scales, and ``forward``.

    Args:
        messages: makes the weighted messages, one part or one for each scale.
        node_update: makes the new node features from the sum.
        density_update: change of the directional density, ``None`` for none.
        powers: invariants of the new density for the node update, ``None`` for none.

    Shapes:
        ``x`` ``(nodes, in_channels)``, ``density`` ``(nodes, angular, channels)``; edges as of the subclass.

    Units:
        none.

    Source:
        own design; the pattern is that of Gilmer et al., ICML 2017, arXiv:1704.01212, section 2.
    """

    messages: Messages | nn.ModuleList

    def __init__(
        self,
        messages: Messages | nn.ModuleList,
        node_update: NodeUpdate,
        density_update: DensityUpdate | None = None,
        powers: DensityPowers | None = None,
    ) -> None:
        super().__init__(aggr=NeighborSum(), node_dim=0)
        self.messages, self.node_update = messages, node_update
        self.density_update, self.powers = density_update, powers

    @property
    def scales(self) -> list[Messages]:
        """The messages of each scale."""
        return [self.messages] if isinstance(self.messages, Messages) else list(self.messages)  # type: ignore[arg-type]

    def reset_parameters(self) -> None:
        """Draw new weights in every part."""
        super().reset_parameters()
        for part in (*self.scales, self.node_update, self.density_update, self.powers):
            if part is not None:
                part.reset_parameters()

    def symmetry(self, x: Symmetry, radial: Symmetry, sphere: Symmetry, density: Symmetry) -> tuple[Symmetry, Symmetry]:
        """Symmetry of the new node features and of the new density."""
        messages = {scale.symmetry(x, radial, sphere, density) for scale in self.scales}
        message: Symmetry = messages.pop() if len(messages) == 1 else "unconstrained"
        if self.density_update is not None:
            density = self.density_update.symmetry(x, message, sphere, density)
        powers: Symmetry = "invariant" if self.powers is None else self.powers.symmetry(density)
        return self.node_update.symmetry(x, message, powers), density

    def scale_sums(
        self,
        messages: Messages,
        x: Float[Tensor, "nodes _"],
        edge_index: Int[Tensor, "2 edges"],
        radial: Float[Tensor, "edges radial"],
        envelope: Float[Tensor, " edges"],
        sphere: Float[Tensor, "edges angular"] | None,
        density: Float[Tensor, "nodes angular channels"] | None,
    ) -> tuple[Float[Tensor, "nodes _"], Float[Tensor, "nodes angular channels"] | None]:
        """Sum of the messages and change of the density, of the edges of one scale."""
        message = messages(x, edge_index, radial, envelope, sphere, density)
        change = None
        if self.density_update is not None:
            change = self.density_update(x, edge_index, message, sphere, density)
        return self.propagate(edge_index, edge_attr=message, size=(x.shape[0], x.shape[0])), change

    def advance(
        self,
        x: Float[Tensor, "nodes _"],
        density: Float[Tensor, "nodes angular channels"] | None,
        total: Float[Tensor, "nodes _"],
        change: Float[Tensor, "nodes angular channels"] | None,
    ) -> tuple[Float[Tensor, "nodes _"], Float[Tensor, "nodes angular channels"] | None]:
        """New node features and new density from the sums over all edges."""
        new_density = density if density is None or change is None else density + change
        powers = None if self.powers is None else self.powers(new_density)
        return self.node_update.update(total, x, powers), new_density

    def message(self, edge_attr: Tensor) -> Tensor:
        """The weighted message as it came."""
        return edge_attr

    def __repr__(self) -> str:
        messages = self.messages if isinstance(self.messages, Messages) else list(self.messages)
        return f"{type(self).__name__}({messages}, {self.node_update}, {self.density_update}, {self.powers})"
