"""The directional density of each atom, at the start and after each layer."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pyg_mpnn.arguments import check_positive, check_whole
from pyg_mpnn.basis.directional import degrees
from pyg_mpnn.basis.symmetry import Symmetry
from pyg_mpnn.layers.edge_block import Adjacency, EdgeBlock, NodeDensity, NodeFeatures, edge_pairs, ends


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
