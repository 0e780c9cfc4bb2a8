"""Directional density: spherical harmonics of the neighbours, summed at the atom."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pyg_mpnn.arguments import check_positive, check_whole
from pyg_mpnn.basis.directional import degrees
from pyg_mpnn.basis.symmetry import Symmetry
from pyg_mpnn.layers.edge_block import Adjacency, EdgeBlock, NodeFeatures, edge_pairs, ends


class DirectionalDensity(EdgeBlock):
    r"""Where the neighbours of an atom are, by distance, direction and element.

    .. math:: A_{i,lm,c} = \frac{1}{\nu} \sum_j f_c(r_{ij}) \, (W_l \, b_{ij})_c \, (W h_j)_c \, Y_{lm}(r_{ij})

    with the radial basis :math:`b_{ij}`, the features :math:`h_j` of the neighbour, spherical harmonics :math:`Y_{lm}`,
    the cutoff function :math:`f_c` and a fixed number :math:`\nu`. Rotates with the degree l of each component.

    Args:
        in_channels: width of the node features.
        channels: number of channels c of the density.
        num_radial: number of radial functions.
        l_max: largest degree of the spherical harmonics, at least 0.
        nu: number that divides the sum, positive; near the effective number of neighbours.

    Shapes:
        ``x`` ``(nodes, in_channels)``, ``edge_index`` ``(2, edges)``, ``radial`` ``(edges, radial)``, ``sphere``
        ``(edges, angular)``, ``envelope`` ``(edges,)``; output ``(nodes, angular, channels)``, angular = (l_max+1)^2.

    Units:
        those of ``radial``.

    Raises:
        ValueError: a width below 1, a negative ``l_max`` or a ``nu`` that is not positive.

    Source:
        atomic density of Drautz, Phys. Rev. B 99, 014104 (2019), Eq. (5), with learned radial functions and elements as
        in Batatia et al., NeurIPS 2022 (MACE), arXiv:2206.07697, Eq. (8); here with one multiplication per component
        and no Clebsch-Gordan product.

    Example:
        >>> import torch
        >>> layer = DirectionalDensity(4, channels=2, num_radial=3, l_max=1)
        >>> edge_index = torch.tensor([[1, 0], [0, 1]])
        >>> layer(torch.ones(2, 4), edge_index, torch.ones(2, 3), torch.ones(2, 4), torch.ones(2)).shape
        torch.Size([2, 4, 2])
    """

    nu: Tensor
    degrees: Tensor

    def __init__(self, in_channels: int, channels: int, num_radial: int, l_max: int, nu: float = 1.0) -> None:
        super().__init__(sums=True)
        check_whole(in_channels=in_channels, channels=channels, num_radial=num_radial)
        check_whole(0, l_max=l_max)
        check_positive(nu=nu)
        self.in_channels, self.channels, self.num_radial, self.l_max = in_channels, channels, num_radial, l_max
        self.register_buffer("nu", torch.tensor(float(nu)))
        self.register_buffer("degrees", degrees(l_max), persistent=False)
        self.element = nn.Linear(in_channels, channels, bias=False)
        self.radial = nn.Linear(num_radial, (l_max + 1) * channels, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights."""
        super().reset_parameters()
        nn.init.xavier_uniform_(self.element.weight)
        nn.init.xavier_uniform_(self.radial.weight)

    def symmetry(self, x: Symmetry, radial: Symmetry, sphere: Symmetry) -> Symmetry:
        """Symmetry of the output: equivariant if the weights are invariant and the directions equivariant."""
        return "equivariant" if (x, radial, sphere) == ("invariant", "invariant", "equivariant") else "unconstrained"

    def forward(
        self,
        x: NodeFeatures,
        edge_index: Adjacency,
        radial: Float[Tensor, "edges radial"],
        sphere: Float[Tensor, "edges angular"],
        envelope: Float[Tensor, " edges"],
    ) -> Float[Tensor, "nodes angular channels"]:
        """Sum the directions of the neighbours."""
        source, target = ends(x)
        weight = self.radial(radial) * (envelope / self.nu).unsqueeze(-1)
        density: Tensor = self.propagate(
            edge_pairs(edge_index),
            x=self.element(source),
            weight=weight.unflatten(-1, (self.l_max + 1, self.channels)),  # (edges, l_max + 1, channels)
            sphere=sphere,
            size=(source.shape[0], target.shape[0]),
        )
        return density

    def message(self, x_j: Tensor, weight: Tensor, sphere: Tensor) -> Tensor:
        """Weight and direction of one neighbour."""
        weight = (weight * x_j.unsqueeze(1)).index_select(1, self.degrees)  # (edges, angular, channels)
        return weight * sphere.unsqueeze(-1)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.in_channels}, {self.channels}, {self.num_radial}, l_max={self.l_max})"
