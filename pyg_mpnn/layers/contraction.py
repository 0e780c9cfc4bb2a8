"""Invariant products of two equivariant features."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pyg_mpnn.arguments import check_whole
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
