"""Directional basis: real spherical harmonics of the edge vectors."""

from __future__ import annotations

import torch
from e3nn import get_optimization_defaults, o3, set_optimization_defaults
from jaxtyping import Float, Int
from torch import Tensor, nn

from pyg_mpnn.arguments import check_whole
from pyg_mpnn.basis.symmetry import Symmetry


def degrees(l_max: int) -> Int[Tensor, " angular"]:
    """Degree l of each component of the spherical harmonics up to ``l_max``, in their order.

    Args:
        l_max: highest degree, at least 0.

    Returns:
        l for each of the (l_max + 1)^2 components.

    Shapes:
        result (angular,).

    Example:
        >>> degrees(1)
        tensor([0, 1, 1, 1])
    """
    return torch.tensor([l for l in range(l_max + 1) for _ in range(2 * l + 1)])


class DirectionalBasis(nn.Module):
    r"""Real spherical harmonics of the direction of each edge, for all degrees up to ``l_max``.

    .. math:: Y_{ij} = Y_{lm}(\mathbf r_{ij} / r_{ij}), \qquad l = 0 .. l_{max}, \quad m = -l .. l

    with :math:`\mathbf r_{ij}` the vector from atom i to its neighbour j. The components stand in the order of l, then
    m; those of l = 1 are :math:`\sqrt3\,(x, y, z)`. Under a rotation they turn with the Wigner matrices of each l
    (``symmetry`` is ``"equivariant"``), and :math:`Y_{ji} = (-1)^l Y_{ij}`. The buffer ``degrees`` (angular,) holds
    the l of each component.

    Args:
        l_max: highest degree, 0 to 12.

    Shapes:
        ``edge_vec`` (edges, 3), nonzero -> (edges, angular) with angular = (l_max + 1)^2.

    Units:
        Any for ``edge_vec``, only its direction counts; the result has none. Normalisation (e3nn's "component"):
        :math:`\int Y_{lm} Y_{l'm'} d\Omega = 4\pi\,\delta_{ll'} \delta_{mm'}`, therefore
        :math:`\sum_m Y_{lm}(\mathbf u) Y_{lm}(\mathbf v) = (2l+1) P_l(\mathbf u \cdot \mathbf v)`.

    Raises:
        ValueError: ``l_max`` is not between 0 and 12.

    Source:
        Geiger and Smidt (e3nn), arXiv:2207.09453; the functions are e3nn's own.

    Example:
        >>> DirectionalBasis(l_max=1)(torch.tensor([[0.0, 2.0, 0.0]]))
        tensor([[1.0000, 0.0000, 1.7321, 0.0000]])
    """

    degrees: Tensor
    symmetry: Symmetry = "equivariant"

    def __init__(self, l_max: int) -> None:
        super().__init__()
        check_whole(0, l_max=l_max)
        if l_max > 12:
            raise ValueError(f"'l_max' must be between 0 and 12, got {l_max}: pass for example 2.")
        self.l_max = l_max
        defaults = get_optimization_defaults()
        set_optimization_defaults(jit_script_fx=False)  # TorchScript would neither trace nor compile
        try:
            self.harmonics = o3.SphericalHarmonics(list(range(l_max + 1)), normalize=True, normalization="component")
        finally:
            set_optimization_defaults(**defaults)
        self.register_buffer("degrees", degrees(l_max), persistent=False)

    def forward(self, edge_vec: Float[Tensor, "edges 3"]) -> Float[Tensor, "edges angular"]:
        """Harmonics of the direction of each vector."""
        harmonics: Tensor = self.harmonics(edge_vec)
        return harmonics

    def extra_repr(self) -> str:
        """Sizes for ``repr``."""
        return f"l_max={self.l_max}"
