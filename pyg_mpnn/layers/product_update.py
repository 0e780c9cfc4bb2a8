"""The density of an atom multiplied by itself, gated by the atom's features."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pyg_mpnn.arguments import check_whole
from pyg_mpnn.basis.directional import degrees
from pyg_mpnn.basis.symmetry import Symmetry
from pyg_mpnn.layers.channel_mixing import ChannelMixing
from pyg_mpnn.layers.equivariant_product import EquivariantProduct


class ProductUpdate(nn.Module):
    r"""Add products of a density with itself to it, gated by the features of the atom.

    .. math::
        A_i' = A_i + W'' \big[ (W A_i) \otimes_{g(h_i)} \widehat{W' A_i} \big] + g'(h_i) \odot W''' A_i, \qquad
        \widehat{B}_{lm,c} = \frac{B_{lm,c}}{\sqrt{1 + \sum_{lm} B_{lm,c}^2}}

    with the :class:`EquivariantProduct`, whose paths have the weights :math:`g_{l_1 l_2 l_3, c}(h_i)`, matrices W of
    :class:`ChannelMixing` and gates g and g' that are linear in the features. Only one factor is bounded, so products
    of products over several layers grow no faster than the density. The gates start near 0.3 for every atom.

    Args:
        in_channels: width of the node features.
        channels: channels of the density.
        l_max: largest degree of the density, at least 0.

    Shapes:
        ``density`` ``(nodes, angular, channels)``, ``x`` ``(nodes, in_channels)``; output as ``density``.

    Units:
        none.

    Raises:
        ValueError: a width below 1 or a negative ``l_max``.

    Source:
        own design, from the products of MACE (Batatia et al., NeurIPS 2022, arXiv:2206.07697, Eq. (10)) and gates as in
        Weiler et al., NeurIPS 2018, arXiv:1807.02547, section 4.3.

    Example:
        >>> import torch
        >>> ProductUpdate(8, channels=2, l_max=1)(torch.ones(3, 4, 2), torch.ones(3, 8)).shape
        torch.Size([3, 4, 2])
    """

    degrees: Tensor

    def __init__(self, in_channels: int, channels: int, l_max: int) -> None:
        super().__init__()
        check_whole(in_channels=in_channels, channels=channels)
        check_whole(0, l_max=l_max)
        self.in_channels, self.channels, self.l_max = in_channels, channels, l_max
        self.register_buffer("degrees", degrees(l_max), persistent=False)
        self.product = EquivariantProduct(l_max)
        self.factors = ChannelMixing(channels, 2 * channels, l_max)
        self.of_products = ChannelMixing(channels, channels, l_max)
        self.of_density = ChannelMixing(channels, channels, l_max)
        self.sizes = (len(self.product.paths), l_max + 1)
        self.gates = nn.Linear(in_channels, sum(self.sizes) * channels)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights."""
        for mixing in (self.factors, self.of_products, self.of_density):
            mixing.reset_parameters()
        nn.init.xavier_uniform_(self.gates.weight, gain=0.5)
        nn.init.constant_(self.gates.bias, 0.3)

    def symmetry(self, density: Symmetry, x: Symmetry) -> Symmetry:
        """Symmetry of the new density."""
        return "equivariant" if (density, x) == ("equivariant", "invariant") else "unconstrained"

    def forward(
        self, density: Float[Tensor, "nodes angular channels"], x: Float[Tensor, "nodes _"]
    ) -> Float[Tensor, "nodes angular channels"]:
        """Multiply, mix and add."""
        first, second = self.factors(density).split(self.channels, dim=-1)
        second = second * torch.rsqrt(1 + second.square().sum(dim=1, keepdim=True))
        gates = self.gates(x).unflatten(-1, (sum(self.sizes), self.channels))
        of_paths, of_degrees = gates.split(self.sizes, dim=1)
        products = self.of_products(self.product(first, second, of_paths))
        updated: Tensor = density + products + of_degrees.index_select(1, self.degrees) * self.of_density(density)
        return updated

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.in_channels}, {self.channels}, l_max={self.l_max})"
