"""Continuous-filter convolution: the features of the neighbours, filtered by distance and summed."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pyg_mpnn.activation import ShiftedSoftplus
from pyg_mpnn.arguments import check_whole
from pyg_mpnn.basis.symmetry import Symmetry, nonlinear
from pyg_mpnn.layers.edge_block import Adjacency, EdgeBlock, NodeFeatures, edge_pairs, ends
from pyg_mpnn.mlp import MLP


class FilterConvolution(EdgeBlock):
    r"""Continuous-filter convolution: a filter made of the distance multiplies the features of each neighbour.

    .. math:: y_i = \sum_j f_c(r_{ij}) \, \mathrm{MLP}(b_{ij}) \odot W h_j

    with the radial basis :math:`b_{ij}`, the features :math:`h_j` of the neighbour, a linear function W without bias,
    and the cutoff function :math:`f_c`. It sees distances only.

    Args:
        in_channels: width of the node features.
        num_filters: width of filter and output.
        num_radial: number of radial functions.
        activation: between the two layers of the filter network; :class:`~pyg_mpnn.ShiftedSoftplus` where not given.

    Shapes:
        ``x`` ``(nodes, in_channels)``, ``edge_index`` ``(2, edges)``, ``radial`` ``(edges, radial)``, ``envelope``
        ``(edges,)``; output ``(nodes, num_filters)``.

    Units:
        none.

    Raises:
        ValueError: a width below 1.
        TypeError: an activation that is not known to be smooth.

    Source:
        Schütt et al., NeurIPS 2017 (SchNet), arXiv:1706.08566, figure 2 (cfconv and the atom-wise layer before it).
        Deviations, both as in the authors' SchNetPack: no activation after the last layer of the network, and the
        cutoff function.

    Example:
        >>> import torch
        >>> layer = FilterConvolution(8, num_filters=6, num_radial=3)
        >>> layer(torch.ones(2, 8), torch.tensor([[1, 0], [0, 1]]), torch.ones(2, 3), torch.ones(2)).shape
        torch.Size([2, 6])
    """

    def __init__(
        self, in_channels: int, num_filters: int, num_radial: int, activation: nn.Module | None = None
    ) -> None:
        super().__init__(sums=True)
        check_whole(in_channels=in_channels, num_filters=num_filters, num_radial=num_radial)
        self.in_channels, self.num_filters, self.num_radial = in_channels, num_filters, num_radial
        self.activation = ShiftedSoftplus() if activation is None else activation
        self.linear = nn.Linear(in_channels, num_filters, bias=False)
        self.filter = MLP([num_radial, num_filters, num_filters], self.activation)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights."""
        super().reset_parameters()
        nn.init.xavier_uniform_(self.linear.weight)
        self.filter.reset_parameters()

    def symmetry(self, x: Symmetry, radial: Symmetry) -> Symmetry:
        """Symmetry of the output."""
        return nonlinear(x, radial)

    def forward(
        self,
        x: NodeFeatures,
        edge_index: Adjacency,
        radial: Float[Tensor, "edges radial"],
        envelope: Float[Tensor, " edges"],
    ) -> Float[Tensor, "nodes _"]:
        """Filter and sum the neighbours."""
        weight = self.filter(radial) * envelope.unsqueeze(-1)
        source, target = ends(x)
        total: Tensor = self.propagate(
            edge_pairs(edge_index),
            x=self.linear(source),
            weight=weight,
            size=(source.shape[0], target.shape[0]),
        )
        return total

    def message(self, x_j: Tensor, weight: Tensor) -> Tensor:
        """One term of the sum."""
        return torch.mul(x_j, weight)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.in_channels}, {self.num_filters}, {self.num_radial}, {self.activation})"
