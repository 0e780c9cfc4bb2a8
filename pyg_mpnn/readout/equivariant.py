"""Vectors and tensors of the atoms from their directional density."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pyg_mpnn.arguments import check_whole
from pyg_mpnn.basis.symmetry import Symmetry
from pyg_mpnn.mlp import MLP


class GatedDensity(nn.Module):
    r"""One degree of the directional density of each atom, its channels weighted by the features of the atom.

    .. math:: v_{i,m} = \sum_c \mathrm{MLP}_c(h_i) \, A_{i,lm,c}

    with the density :math:`A_i` and the features :math:`h_i`. Linear in the density, so it turns with the degree l: a
    vector for l = 1, the five components of a symmetric tensor without trace for l = 2 (:func:`traceless_tensor`).

    Args:
        in_channels: width of the features.
        hidden_channels: width of the hidden layer.
        channels: channels of the density.
        degree: the degree l, at least 0.

    Shapes:
        ``x`` ``(nodes, in_channels)``, ``density`` ``(nodes, angular, channels)``; output ``(nodes, 2 l + 1)``.

    Units:
        none.

    Raises:
        ValueError: a width below 1 or a negative degree.

    Source:
        gates as in Schütt, Unke and Gastegger, ICML 2021 (PaiNN), arXiv:2102.03150, Eq. (9), on a density in place of
        carried vectors.

    Example:
        >>> GatedDensity(4, 8, channels=2, degree=1)(torch.ones(3, 4), torch.ones(3, 9, 2)).shape
        torch.Size([3, 3])
    """

    def __init__(self, in_channels: int, hidden_channels: int, channels: int, degree: int) -> None:
        super().__init__()
        check_whole(in_channels=in_channels, hidden_channels=hidden_channels, channels=channels)
        check_whole(0, degree=degree)
        self.in_channels, self.hidden_channels, self.channels = in_channels, hidden_channels, channels
        self.degree = degree
        self.gate = MLP([in_channels, hidden_channels, channels])

    def reset_parameters(self) -> None:
        """Draw new weights."""
        self.gate.reset_parameters()

    def symmetry(self, x: Symmetry, density: Symmetry) -> Symmetry:
        """Symmetry of the output: that of the density where the gates are invariant."""
        return density if x == "invariant" else "unconstrained"

    def forward(
        self, x: Float[Tensor, "nodes _"], density: Float[Tensor, "nodes angular channels"]
    ) -> Float[Tensor, "nodes _"]:
        """Weight the channels and add them up."""
        first = self.degree**2
        components = density[:, first : first + 2 * self.degree + 1]
        weighted: Tensor = components * self.gate(x).unsqueeze(1)
        return weighted.sum(dim=2)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.in_channels}, {self.hidden_channels}, {self.channels}, degree={self.degree})"
        )


def traceless_tensor(components: Float[Tensor, "nodes 5"]) -> Float[Tensor, "nodes 3 3"]:
    r"""Symmetric tensor without trace of its five components of degree 2.

    .. math:: T_{ab} = \sum_m C_{ab,m} v_m, \quad \text{with } T = \sqrt{15/2} \, (u u^T - 1/3) \text{ for } v = Y_2(u)

    for the harmonics :math:`Y_2` of :class:`~pyg_mpnn.DirectionalBasis` of a unit vector u.

    Args:
        components: components m = -2..2 in e3nn's order.

    Returns:
        tensors in the order x, y, z.

    Shapes:
        ``components`` ``(nodes, 5)``; output ``(nodes, 3, 3)``.

    Units:
        those of ``components``.

    Source:
        textbook; harmonics of Geiger and Smidt (e3nn), arXiv:2207.09453.

    Example:
        >>> from pyg_mpnn import DirectionalBasis
        >>> harmonics = DirectionalBasis(2)(torch.tensor([[0.0, 0.0, 1.0]]))[:, 4:]
        >>> (traceless_tensor(harmonics) / 7.5**0.5).diagonal(dim1=1, dim2=2)
        tensor([[-0.3333, -0.3333,  0.6667]])
    """
    xz, xy, yy, yz, zz = components.unbind(dim=1)  # zz: z^2 - x^2; yy: y^2 - (x^2 + z^2) / 2
    third = yy / 3**0.5
    rows = [-third - zz, xy, xz, xy, 2 * third, yz, xz, yz, zz - third]
    return torch.stack(rows, dim=1).view(-1, 3, 3) / 2**0.5
