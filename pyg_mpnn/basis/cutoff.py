"""Cutoff functions: one at the atom, zero with zero slope from the cutoff on."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pyg_mpnn.arguments import check_positive, check_whole


def cosine_cutoff(dist: Float[Tensor, " edges"], cutoff: float) -> Float[Tensor, " edges"]:
    r"""Half a cosine wave: the function of :class:`CosineCutoff`.

    Args:
        dist: distances, at least 0, in A.
        cutoff: radius from which the result is zero, positive, in A.

    Returns:
        Values in [0, 1], dimensionless.

    Shapes:
        dist (edges,); result (edges,).
    """
    inside = dist < cutoff
    safe = torch.where(inside, dist, 0.0)
    return torch.where(inside, 0.5 * (torch.cos(safe * (math.pi / cutoff)) + 1.0), 0.0)


def polynomial_cutoff(dist: Float[Tensor, " edges"], cutoff: float, p: int = 6) -> Float[Tensor, " edges"]:
    r"""Polynomial with two zero derivatives at the cutoff: the function of :class:`PolynomialCutoff`.

    Args:
        dist: distances, at least 0, in A.
        cutoff: radius from which the result is zero, positive, in A.
        p: lowest power of the distance, at least 1.

    Returns:
        Values in [0, 1], dimensionless.

    Shapes:
        dist (edges,); result (edges,).
    """
    inside = dist < cutoff
    x = torch.where(inside, dist, 0.0) / cutoff
    series = torch.full_like(x, 0.5 * p * (p + 1))
    for k in range(p - 1, 0, -1):
        series = series * x + 0.5 * k * (k + 1)
    return torch.where(inside, (1.0 - x) ** 3 * series, 0.0)


def bump_cutoff(dist: Float[Tensor, " edges"], cutoff: float) -> Float[Tensor, " edges"]:
    r"""Infinitely smooth bump: the function of :class:`BumpCutoff`.

    Args:
        dist: distances, at least 0, in A.
        cutoff: radius from which the result is zero, positive, in A.

    Returns:
        Values in [0, 1], dimensionless.

    Shapes:
        dist (edges,); result (edges,).
    """
    gap = 1.0 - (dist / cutoff) ** 2
    inside = (dist < cutoff) & (gap > 1e-3)  # exp(1 - 1/gap) is already 0 in float64 at gap = 1e-3
    return torch.where(inside, torch.exp(1.0 - 1.0 / torch.where(inside, gap, 1.0)), 0.0)


class Cutoff(nn.Module):
    r"""Interface of the cutoff functions, stated in ``pyg_mpnn/basis/README.md``: ``f_c(dist)`` for the edges.

    A subclass calls this constructor, sets ``smoothness`` (how many derivatives of :math:`f_c` are continuous at the
    cutoff) and writes ``forward``, exactly 0 with zero gradients from the cutoff on.

    Args:
        cutoff: radius from which the function is zero, positive, in A.

    Shapes:
        dist (edges,); result (edges,).

    Raises:
        ValueError: ``cutoff`` is not positive and finite.
    """

    smoothness: float

    def __init__(self, cutoff: float) -> None:
        super().__init__()
        check_positive("A", cutoff=cutoff)
        self.cutoff = float(cutoff)

    def forward(self, dist: Float[Tensor, " edges"]) -> Float[Tensor, " edges"]:
        """Value at each distance."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        """Sizes for ``repr``."""
        return f"cutoff={self.cutoff:g}"


class CosineCutoff(Cutoff):
    r"""Half a cosine wave, with one continuous derivative at the cutoff.

    .. math:: f_c(r) = \tfrac12 \left(\cos\frac{\pi r}{r_c} + 1\right) \quad (r < r_c), \qquad 0 \quad (r \ge r_c)

    with r the distance and :math:`r_c` the cutoff. ``smoothness`` is 1.

    Args:
        cutoff: :math:`r_c`, positive, in A.

    Shapes:
        ``dist`` (edges,) -> (edges,).

    Units:
        ``dist`` in A; the result has none, 1 at r = 0.

    Raises:
        ValueError: ``cutoff`` is not positive and finite.

    Source:
        Behler and Parrinello, Phys. Rev. Lett. 98, 146401 (2007), doi:10.1103/PhysRevLett.98.146401, the
        function f_c.

    Example:
        >>> CosineCutoff(4.0)(torch.tensor([0.0, 2.0, 4.0, 5.0]))
        tensor([1.0000, 0.5000, 0.0000, 0.0000])
    """

    smoothness = 1

    def forward(self, dist: Float[Tensor, " edges"]) -> Float[Tensor, " edges"]:
        """Value at each distance."""
        return cosine_cutoff(dist, self.cutoff)


class PolynomialCutoff(Cutoff):
    r"""Polynomial with two continuous derivatives at the cutoff, flat near the atom for large p.

    .. math::
        f_c(r) = 1 - \tfrac{(p+1)(p+2)}{2} x^p + p(p+2)\, x^{p+1} - \tfrac{p(p+1)}{2} x^{p+2}
               = (1-x)^3 \sum_{k=0}^{p-1} \tfrac{(k+1)(k+2)}{2} x^k \quad (x < 1), \qquad 0 \quad (x \ge 1)

    with :math:`x = r / r_c`, r the distance and :math:`r_c` the cutoff. ``smoothness`` is 2.

    Args:
        cutoff: :math:`r_c`, positive, in A.
        p: lowest power of x, at least 1.

    Shapes:
        ``dist`` (edges,) -> (edges,).

    Units:
        ``dist`` in A; the result has none, 1 at r = 0.

    Raises:
        ValueError: ``cutoff`` is not positive and finite, or ``p`` is below 1.

    Source:
        Gasteiger, Gross and Guennemann, ICLR 2020, arXiv:2003.03123, Eq. (8). Deviation: computed in the factored
        form, which has no cancellation at the cutoff (the expanded form leaves noise of 1e-6 there in float32).

    Example:
        >>> PolynomialCutoff(4.0)(torch.tensor([0.0, 2.0, 4.0, 5.0]))
        tensor([1.0000, 0.8555, 0.0000, 0.0000])
    """

    smoothness = 2

    def __init__(self, cutoff: float, p: int = 6) -> None:
        super().__init__(cutoff)
        check_whole(p=p)
        self.p = p

    def forward(self, dist: Float[Tensor, " edges"]) -> Float[Tensor, " edges"]:
        """Value at each distance."""
        return polynomial_cutoff(dist, self.cutoff, self.p)

    def extra_repr(self) -> str:
        """Sizes for ``repr``."""
        return f"{super().extra_repr()}, p={self.p}"


class BumpCutoff(Cutoff):
    r"""Bump function: all derivatives are continuous at the cutoff.

    .. math:: f_c(r) = \exp\left(1 - \frac{1}{1 - x^2}\right) \quad (x < 1), \qquad 0 \quad (x \ge 1)

    with :math:`x = r / r_c`, r the distance and :math:`r_c` the cutoff. ``smoothness`` is infinite.

    Args:
        cutoff: :math:`r_c`, positive, in A.

    Shapes:
        ``dist`` (edges,) -> (edges,).

    Units:
        ``dist`` in A; the result has none, 1 at r = 0.

    Raises:
        ValueError: ``cutoff`` is not positive and finite.

    Source:
        The textbook bump function, as used by Unke et al. (SpookyNet), Nat. Commun. 12, 7273 (2021),
        arXiv:2105.00304, who write the same function as :math:`\exp(-x^2 / (1 - x^2))`. Deviation: none.

    Example:
        >>> BumpCutoff(4.0)(torch.tensor([0.0, 2.0, 4.0, 5.0]))
        tensor([1.0000, 0.7165, 0.0000, 0.0000])
    """

    smoothness = math.inf

    def forward(self, dist: Float[Tensor, " edges"]) -> Float[Tensor, " edges"]:
        """Value at each distance."""
        return bump_cutoff(dist, self.cutoff)
