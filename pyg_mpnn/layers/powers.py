"""Invariants of the directional density: contractions of two, and the powers of one."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pyg_mpnn.arguments import check_whole
from pyg_mpnn.basis.directional import degrees
from pyg_mpnn.basis.symmetry import Symmetry


class Contraction(nn.Module):
    r"""Scalar product of two equivariant features, one for each degree.

    .. math:: \langle A, B \rangle_{l,c} = \frac{1}{2l+1} \sum_{m=-l}^{l} A_{lm,c} B_{lm,c}

    Exactly invariant under rotations and inversion when both factors are equivariant of equal parity. There is no
    square root, so derivatives exist where the features vanish.

    Args:
        l_max: largest degree, at least 0.

    Shapes:
        inputs ``(nodes or edges, angular, channels)``, either one with a single channel; output
        ``(nodes or edges, l_max + 1, channels)``, angular = (l_max+1)^2.

    Units:
        product of the inputs' units. With component normalisation the division by 2l+1 gives all degrees one size.

    Source:
        addition theorem of spherical harmonics; power spectrum of Bartók, Kondor and Csányi, Phys. Rev. B 87, 184115
        (2013), Eq. (25).

    Example:
        >>> import torch
        >>> Contraction(1)(torch.ones(5, 4, 3), torch.ones(5, 4, 1)).shape
        torch.Size([5, 2, 3])
    """

    def __init__(self, l_max: int) -> None:
        super().__init__()
        check_whole(0, l_max=l_max)
        self.l_max = l_max

    def symmetry(self, first: Symmetry, second: Symmetry) -> Symmetry:
        """Symmetry of the output."""
        return "invariant" if first == second == "equivariant" else "unconstrained"

    def forward(
        self, first: Float[Tensor, "nodes angular _"], second: Float[Tensor, "nodes angular _"]
    ) -> Float[Tensor, "nodes _ channels"]:
        """Multiply component by component and average over m."""
        products = first * second
        # Slices, not a matrix product: compiled, the products are summed without being stored.
        return torch.stack([products[:, l * l : (l + 1) ** 2].mean(dim=1) for l in range(self.l_max + 1)], dim=1)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(l_max={self.l_max})"


class DensityPowers(nn.Module):
    r"""Invariant products of the directional density of an atom with itself: angles at two-body cost.

    .. math:: P_{i,lk} = \sinh^{-1} \langle A_i W, A_i W' \rangle_{lk}, \quad
              \langle A, B \rangle_{lk} = \frac{1}{2l+1} \sum_m A_{lm,k} B_{lm,k}

    with the density :math:`A` and learned matrices :math:`W, W'` that mix its channels within one degree, without bias.
    The inverse hyperbolic sine leaves small products as they are and lets large ones grow like a logarithm: products of
    products over several layers would otherwise grow beyond all bounds where atoms are nearer than in training.

    Args:
        channels: number of channels of the density.
        l_max: largest degree of the density, at least 0.
        out_channels: number of products k for each degree.

    Shapes:
        input ``(nodes, angular, channels)``; output ``(nodes, (l_max + 1) * out_channels)``.

    Units:
        none.

    Raises:
        ValueError: a width below 1.

    Source:
        power spectrum of Bartók, Kondor and Csányi, Phys. Rev. B 87, 184115 (2013), Eq. (25), with learned channel
        mixing.

    Example:
        >>> import torch
        >>> DensityPowers(2, l_max=1, out_channels=3)(torch.ones(5, 4, 2)).shape
        torch.Size([5, 6])
    """

    degrees: Tensor

    def __init__(self, channels: int, l_max: int, out_channels: int) -> None:
        super().__init__()
        check_whole(channels=channels, out_channels=out_channels)
        check_whole(0, l_max=l_max)
        self.channels, self.l_max, self.out_channels = channels, l_max, out_channels
        self.register_buffer("degrees", degrees(l_max), persistent=False)
        self.contraction = Contraction(l_max)
        self.first = nn.Parameter(torch.empty(l_max + 1, channels, out_channels))
        self.second = nn.Parameter(torch.empty(l_max + 1, channels, out_channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights, one Glorot matrix for each degree."""
        for matrix in (*self.first, *self.second):
            nn.init.xavier_uniform_(matrix)

    def symmetry(self, density: Symmetry) -> Symmetry:
        """Symmetry of the products."""
        return self.contraction.symmetry(density, density)

    def forward(self, density: Float[Tensor, "nodes angular channels"]) -> Float[Tensor, "nodes _"]:
        """Mix channels and contract."""
        components = density.transpose(0, 1)  # (angular, nodes, channels)
        first = torch.bmm(components, self.first.index_select(0, self.degrees))
        second = torch.bmm(components, self.second.index_select(0, self.degrees))
        powers: Tensor = self.contraction(first.transpose(0, 1), second.transpose(0, 1))
        return powers.flatten(1).asinh()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.channels}, l_max={self.l_max}, out_channels={self.out_channels})"
