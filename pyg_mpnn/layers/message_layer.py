"""What the message-passing layers share: messages of each scale, a density that is carried on, one node update."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pyg_mpnn.basis.symmetry import Symmetry
from pyg_mpnn.layers.density import DensityUpdate
from pyg_mpnn.layers.edge_block import NodeDensity, NodeFeatures, edge_pairs, ends
from pyg_mpnn.layers.messages import Messages
from pyg_mpnn.layers.node_update import NodeUpdate
from pyg_mpnn.layers.powers import DensityPowers
from pyg_mpnn.layers.product_interaction import ProductUpdate


class MessageLayer(nn.Module):
    r"""Interface of the layers: messages of one or more scales, and what is made of them.

    .. math::
        A_i' = P_n \circ \ldots \circ P_1 \big( A_i + \Delta A_i(m) \big), \quad
        h_i' = h_i + \mathrm{MLP}\Big(h_i, \sum_j m_{ij}, \langle A_i' W, A_i' W' \rangle_l\Big)

    A composition: the sums are those of :class:`DensityUpdate` and :class:`NodeUpdate`. A subclass writes ``forward``
    with :meth:`advance`.

    Args:
        messages: makes the weighted messages, one part or one for each scale.
        node_update: makes the new node features from the messages.
        density_update: change of the directional density, ``None`` for none.
        powers: invariants of the new density for the node update, ``None`` for none.
        products: what multiplies the new density with itself at the atom, as :class:`ProductUpdate`, one after the
            other; none without.

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
        products: Sequence[ProductUpdate] = (),
    ) -> None:
        super().__init__()
        self.messages, self.node_update = messages, node_update
        self.density_update, self.powers = density_update, powers
        self.products = nn.ModuleList(products)

    @property
    def scales(self) -> list[Messages]:
        """The messages of each scale."""
        return [self.messages] if isinstance(self.messages, Messages) else list(self.messages)  # type: ignore[arg-type]

    def reset_parameters(self) -> None:
        """Draw new weights in every part."""
        for part in (*self.scales, self.node_update, self.density_update, self.powers, *self.products):
            if part is not None:
                part.reset_parameters()

    def set_neighbors(self, counts: Sequence[float]) -> None:
        r"""Fix the number :math:`\nu` that divides the messages.

        Args:
            counts: effective number of neighbours, one for each scale.
        """
        for messages, count in zip(self.scales, counts, strict=True):
            messages.nu.fill_(count)

    def symmetry(self, x: Symmetry, radial: Symmetry, sphere: Symmetry, density: Symmetry) -> tuple[Symmetry, Symmetry]:
        """Symmetry of the new node features and of the new density."""
        messages = {scale.symmetry(x, radial, sphere, density) for scale in self.scales}
        message: Symmetry = messages.pop() if len(messages) == 1 else "unconstrained"
        if self.density_update is not None:
            density = self.density_update.symmetry(x, message, sphere, density)
        for product in self.products:
            density = product.symmetry(density, x)  # type: ignore[operator]
        powers: Symmetry = "invariant" if self.powers is None else self.powers.symmetry(density)
        return self.node_update.symmetry(x, message, powers), density

    def advance(
        self,
        x: NodeFeatures,
        edge_index: Sequence[Tensor],
        radial: Sequence[Tensor],
        envelope: Sequence[Tensor],
        sphere: Sequence[Tensor | None],
        density: NodeDensity | None,
    ) -> tuple[Float[Tensor, "nodes _"], Float[Tensor, "nodes angular channels"] | None]:
        """New node features and new density of the receivers, from the edges of each scale."""
        if density is not None and isinstance(x, Tensor) != isinstance(density, Tensor):
            raise ValueError("'density' must be a pair (senders, receivers) where 'x' is one, and one tensor where not")
        pairs, messages = [edge_pairs(edges) for edges in edge_index], []
        new_density = ends(density)[1]
        for scale, *edges in zip(self.scales, pairs, radial, envelope, sphere, strict=True):
            message = scale(x, *edges, density)
            messages.append(message)
            if self.density_update is not None:
                new_density = new_density + self.density_update(x, edges[0], message, edges[3], density)
        for product in self.products:
            new_density = product(new_density, ends(x)[1])
        powers = None if self.powers is None else self.powers(new_density)
        if len(messages) == 1:
            return self.node_update(x, pairs[0], messages[0], powers), new_density
        return self.node_update(x, torch.cat(pairs, dim=1), torch.cat(messages), powers), new_density

    def __repr__(self) -> str:
        messages = self.messages if isinstance(self.messages, Messages) else list(self.messages)
        parts = ", ".join(map(str, (messages, self.node_update, self.density_update, self.powers, *self.products)))
        return f"{type(self).__name__}({parts})"
