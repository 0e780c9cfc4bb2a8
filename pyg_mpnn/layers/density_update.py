"""The directional density carried from layer to layer."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pyg_mpnn.arguments import check_whole
from pyg_mpnn.basis.directional import degrees
from pyg_mpnn.basis.symmetry import Symmetry
from pyg_mpnn.layers.edge_block import Adjacency, EdgeBlock, NodeDensity, NodeFeatures, edge_pairs, ends


class DensityUpdate(EdgeBlock):
    r"""What one layer adds to the directional density.

    .. math::
        \Delta A_{i,lm,c} = \sum_j \left( g_{ij,lc} \, (W h_j)_c \, Y_{lm}(r_{ij}) + g'_{ij,lc} \, A_{j,lm,c} \right)

    with gates :math:`g, g'` that are linear in the message without bias. The message carries cutoff and :math:`1/\nu`,
    so the update vanishes smoothly with it. Directions are only scaled and added: the result rotates as the density
    does.

    Args:
        in_channels: width of the node features.
        message_channels: width of the messages.
        channels: number of channels of the density.
        l_max: largest degree of the density, at least 0.

    Shapes:
        ``x`` ``(nodes, in_channels)``, ``edge_index`` ``(2, edges)``, ``edge_attr`` ``(edges, message_channels)``,
        ``sphere`` ``(edges, angular)``, ``density`` ``(nodes, angular, channels)``; output as ``density``.

    Units:
        those of ``density``.

    Raises:
        ValueError: a width below 1 or a negative ``l_max``.

    Source:
        vector messages of Schütt, Unke and Gastegger, ICML 2021 (PaiNN), arXiv:2102.03150, Eq. (8), for any degree l.

    Example:
        >>> import torch
        >>> layer = DensityUpdate(8, message_channels=5, channels=2, l_max=1)
        >>> edge_index = torch.tensor([[1, 0], [0, 1]])
        >>> layer(torch.ones(2, 8), edge_index, torch.ones(2, 5), torch.ones(2, 4), torch.ones(2, 4, 2)).shape
        torch.Size([2, 4, 2])
    """

    degrees: Tensor

    def __init__(self, in_channels: int, message_channels: int, channels: int, l_max: int) -> None:
        super().__init__(sums=True)
        check_whole(in_channels=in_channels, message_channels=message_channels, channels=channels)
        check_whole(0, l_max=l_max)
        self.in_channels, self.message_channels, self.channels, self.l_max = (
            in_channels,
            message_channels,
            channels,
            l_max,
        )
        self.register_buffer("degrees", degrees(l_max), persistent=False)
        self.element = nn.Linear(in_channels, channels, bias=False)
        self.gates = nn.Linear(message_channels, 2 * (l_max + 1) * channels, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights."""
        super().reset_parameters()
        nn.init.xavier_uniform_(self.element.weight)
        for gate in self.gates.weight.chunk(2):
            nn.init.xavier_uniform_(gate)

    def symmetry(self, x: Symmetry, edge_attr: Symmetry, sphere: Symmetry, density: Symmetry) -> Symmetry:
        """Equivariant if the gates are invariant and the directions equivariant."""
        expected = ("invariant", "invariant", "equivariant", "equivariant")
        return "equivariant" if (x, edge_attr, sphere, density) == expected else "unconstrained"

    def forward(
        self,
        x: NodeFeatures,
        edge_index: Adjacency,
        edge_attr: Float[Tensor, "edges _"],
        sphere: Float[Tensor, "edges angular"],
        density: NodeDensity,
    ) -> Float[Tensor, "nodes angular channels"]:
        """Sum gated directions and gated densities of the neighbours."""
        source, target = ends(x)
        change: Tensor = self.propagate(
            edge_pairs(edge_index),
            x=self.element(source),
            gates=self.gates(edge_attr).unflatten(-1, (2, self.l_max + 1, self.channels)),
            sphere=sphere,
            density=ends(density)[0],
            size=(source.shape[0], target.shape[0]),
        )
        return change

    def message(self, x_j: Tensor, density_j: Tensor, gates: Tensor, sphere: Tensor) -> Tensor:
        """One term of the sum."""
        direct, carried = gates.unbind(dim=1)  # each (edges, l_max + 1, channels)
        direct = (direct * x_j.unsqueeze(1)).index_select(1, self.degrees)  # (edges, angular, channels)
        carried = carried.index_select(1, self.degrees)
        return torch.addcmul(direct * sphere.unsqueeze(-1), carried, density_j)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.in_channels}, {self.message_channels}, {self.channels}, l_max={self.l_max})"
        )
