"""Channels of a density mixed within each degree."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pyg_mpnn.arguments import check_whole
from pyg_mpnn.basis.directional import degrees
from pyg_mpnn.basis.symmetry import Symmetry


class ChannelMixing(nn.Module):
    r"""Linear map of the channels of a density, one matrix for each degree.

    .. math:: B_{i,lm,k} = \sum_c A_{i,lm,c} \, W_{l,ck}

    without bias. It is the most general linear map that commutes with rotations (Schur's lemma), so the result rotates
    as the density does.

    Args:
        in_channels: channels of the density.
        out_channels: channels of the result.
        l_max: largest degree of the density, at least 0.

    Shapes:
        input ``(nodes, angular, in_channels)``; output ``(nodes, angular, out_channels)``, angular = (l_max+1)^2.

    Units:
        those of the density.

    Raises:
        ValueError: a width below 1 or a negative ``l_max``.

    Source:
        linear layers of Thomas et al., arXiv:1802.08219 (tensor field networks), section 4.1.2 (self-interaction).

    Example:
        >>> import torch
        >>> ChannelMixing(2, 5, l_max=1)(torch.ones(3, 4, 2)).shape
        torch.Size([3, 4, 5])
    """

    degrees: Tensor

    def __init__(self, in_channels: int, out_channels: int, l_max: int) -> None:
        super().__init__()
        check_whole(in_channels=in_channels, out_channels=out_channels)
        check_whole(0, l_max=l_max)
        self.in_channels, self.out_channels, self.l_max = in_channels, out_channels, l_max
        self.register_buffer("degrees", degrees(l_max), persistent=False)
        self.weight = nn.Parameter(torch.empty(l_max + 1, in_channels, out_channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights, one Glorot matrix for each degree."""
        for matrix in self.weight:
            nn.init.xavier_uniform_(matrix)

    def symmetry(self, density: Symmetry) -> Symmetry:
        """Symmetry of the result: that of the density."""
        return density

    def forward(self, density: Float[Tensor, "nodes angular _"]) -> Float[Tensor, "nodes angular _"]:
        """Multiply each degree by its matrix."""
        components = density.transpose(0, 1)  # (angular, nodes, channels)
        return torch.bmm(components, self.weight.index_select(0, self.degrees)).transpose(0, 1)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.in_channels}, {self.out_channels}, l_max={self.l_max})"
