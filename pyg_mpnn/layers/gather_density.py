"""Sums over neighbours without a network on the edges."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pyg_mpnn.arguments import check_positive, check_whole
from pyg_mpnn.basis.directional import degrees
from pyg_mpnn.basis.symmetry import Symmetry
from pyg_mpnn.layers.edge_block import Adjacency, EdgeBlock, NodeDensity, NodeFeatures, edge_pairs, ends


class GatherDensity(EdgeBlock):
    r"""Directions and densities of the neighbours, each times a function of the distance, summed at the atom.

    .. math::
        \Delta A_{i,lm,c} = \frac{1}{\nu} \sum_j f_c(r_{ij}) \big( (W_l b_{ij})_c \, (V h_j)_c \, Y_{lm}(r_{ij})
        + (W'_l b_{ij})_c \, A_{j,lm,c} \big)

    with the radial basis :math:`b_{ij}`, features :math:`h_j`, spherical harmonics :math:`Y_{lm}`, the cutoff function
    :math:`f_c` and a fixed number :math:`\nu`. Edges only gather: no network sees an edge, and nothing is multiplied
    there but numbers. What atoms are to learn of angles they learn from products at the atom
    (:class:`ProductUpdate`).

    Args:
        in_channels: width of the node features.
        channels: channels of the density.
        num_radial: number of radial functions.
        l_max: largest degree of the density, at least 0.
        carry: whether the densities of the neighbours are gathered too, the second term.
        nu: number that divides the sum, positive; near the effective number of neighbours.

    Shapes:
        ``x`` ``(nodes, in_channels)``, ``edge_index`` ``(2, edges)``, ``radial`` ``(edges, radial)``, ``sphere``
        ``(edges, angular)``, ``envelope`` ``(edges,)``, ``density`` and output ``(nodes, angular, channels)``.

    Units:
        those of ``radial``.

    Raises:
        ValueError: a width below 1, a negative ``l_max`` or a ``nu`` that is not positive.

    Source:
        atomic density of Drautz, Phys. Rev. B 99, 014104 (2019), Eq. (5), and vector messages of Schütt, Unke and
        Gastegger, ICML 2021 (PaiNN), arXiv:2102.03150, Eq. (8), for any degree and without a filter network.

    Example:
        >>> import torch
        >>> layer = GatherDensity(4, channels=2, num_radial=3, l_max=1, carry=False)
        >>> edge_index = torch.tensor([[1, 0], [0, 1]])
        >>> layer(torch.ones(2, 4), edge_index, torch.ones(2, 3), torch.ones(2, 4), torch.ones(2)).shape
        torch.Size([2, 4, 2])
    """

    nu: Tensor
    degrees: Tensor

    def __init__(
        self, in_channels: int, channels: int, num_radial: int, l_max: int, *, carry: bool = True, nu: float = 1.0
    ) -> None:
        super().__init__(sums=True)
        check_whole(in_channels=in_channels, channels=channels, num_radial=num_radial)
        check_whole(0, l_max=l_max)
        check_positive(nu=nu)
        self.in_channels, self.channels, self.num_radial = in_channels, channels, num_radial
        self.l_max, self.carry = l_max, carry
        self.register_buffer("nu", torch.tensor(float(nu)))
        self.register_buffer("degrees", degrees(l_max), persistent=False)
        self.element = nn.Linear(in_channels, channels, bias=False)
        self.radial = nn.Linear(num_radial, (2 if carry else 1) * (l_max + 1) * channels, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights."""
        super().reset_parameters()
        nn.init.xavier_uniform_(self.element.weight)
        for matrix in self.radial.weight.chunk(2 if self.carry else 1):
            nn.init.xavier_uniform_(matrix)

    def symmetry(self, x: Symmetry, radial: Symmetry, sphere: Symmetry, density: Symmetry = "equivariant") -> Symmetry:
        """Equivariant if the weights are invariant and directions and densities equivariant."""
        expected = ("invariant", "invariant", "equivariant", "equivariant")
        return "equivariant" if (x, radial, sphere, density) == expected else "unconstrained"

    def forward(
        self,
        x: NodeFeatures,
        edge_index: Adjacency,
        radial: Float[Tensor, "edges radial"],
        sphere: Float[Tensor, "edges angular"],
        envelope: Float[Tensor, " edges"],
        density: NodeDensity | None = None,
    ) -> Float[Tensor, "nodes angular channels"]:
        """Sum over the neighbours; ``density`` is needed to ``carry`` and not used else."""
        source, target = ends(x)
        weights = self.radial(radial) * (envelope / self.nu).unsqueeze(-1)
        carried = None if density is None or not self.carry else ends(density)[0]
        change: Tensor = self.propagate(
            edge_pairs(edge_index),
            x=self.element(source),
            weights=weights.unflatten(-1, (-1, self.l_max + 1, self.channels)),  # (edges, 1 or 2, l_max + 1, channels)
            sphere=sphere,
            density=carried,
            size=(source.shape[0], target.shape[0]),
        )
        return change

    def message(self, x_j: Tensor, density_j: Tensor | None, weights: Tensor, sphere: Tensor) -> Tensor:
        """One term of the sum."""
        direct = (weights[:, 0] * x_j.unsqueeze(1)).index_select(1, self.degrees)  # (edges, angular, channels)
        direct = direct * sphere.unsqueeze(-1)
        if density_j is None:
            return direct
        return torch.addcmul(direct, weights[:, 1].index_select(1, self.degrees), density_j)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.in_channels}, {self.channels}, {self.num_radial}, l_max={self.l_max}, "
            f"carry={self.carry})"
        )
