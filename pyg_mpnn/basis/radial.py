"""Radial bases: fixed functions of the distance, without a cutoff function inside."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pyg_mpnn.arguments import check_positive, check_whole


def gaussian(
    dist: Float[Tensor, " edges"], center: Float[Tensor, " radial"], eta: float
) -> Float[Tensor, "edges radial"]:
    r"""Gaussians of the distance: the function of :class:`GaussianBasis`.

    Args:
        dist: distances in A.
        center: centres :math:`R_d` in A.
        eta: inverse width, positive, in 1/A^2.

    Returns:
        Values in (0, 1], dimensionless.

    Shapes:
        dist (edges,), center (radial,); result (edges, radial).
    """
    return torch.exp(-eta * (dist.unsqueeze(-1) - center) ** 2)


def bessel(dist: Float[Tensor, " edges"], n: Float[Tensor, " radial"], cutoff: float) -> Float[Tensor, "edges radial"]:
    r"""Spherical Bessel functions of order 0 of the distance: the function of :class:`BesselBasis`.

    Args:
        dist: distances, positive, in A.
        n: number of each function, 1, 2, ...
        cutoff: radius of the normalisation sphere, positive, in A.

    Returns:
        Values in A^(-3/2).

    Shapes:
        dist (edges,), n (radial,); result (edges, radial).
    """
    r = dist.unsqueeze(-1)
    return torch.sin(r * (math.pi / cutoff) * n) * (math.sqrt(2.0 / cutoff) / r)


def exp_normal(
    dist: Float[Tensor, " edges"], center: Float[Tensor, " radial"], beta: float, alpha: float = 1.0
) -> Float[Tensor, "edges radial"]:
    r"""Gaussians of exp(-alpha r): the function of :class:`ExpNormalBasis`.

    Args:
        dist: distances in A.
        center: centres :math:`\mu_k` in (0, 1].
        beta: inverse width, positive.
        alpha: decay of the exponential, positive, in 1/A.

    Returns:
        Values in (0, 1], dimensionless.

    Shapes:
        dist (edges,), center (radial,); result (edges, radial).
    """
    return torch.exp(-beta * (torch.exp(-alpha * dist).unsqueeze(-1) - center) ** 2)


class RadialBasis(nn.Module):
    r"""Interface of the radial bases, stated in ``pyg_mpnn/basis/README.md``: ``phi_d(dist)`` for the edges.

    A subclass calls this constructor, writes ``forward`` and states its normalisation integral. It has no parameters
    and no cutoff function inside.

    Args:
        cutoff: radius that the functions cover, positive, in A.
        num_radial: number of functions, at least 1.

    Shapes:
        dist (edges,); result (edges, radial).

    Raises:
        ValueError: ``cutoff`` is not positive and finite, or ``num_radial`` is below 1.
    """

    def __init__(self, cutoff: float, num_radial: int) -> None:
        super().__init__()
        check_positive("A", cutoff=cutoff)
        check_whole(num_radial=num_radial)
        self.cutoff = float(cutoff)
        self.num_radial = num_radial

    def forward(self, dist: Float[Tensor, " edges"]) -> Float[Tensor, "edges radial"]:
        """Values of all functions at each distance."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        """Sizes for ``repr``."""
        return f"cutoff={self.cutoff:g}, num_radial={self.num_radial}"


class GaussianBasis(RadialBasis):
    r"""Radial symmetry functions: Gaussians of one width at even steps from ``start`` to the cutoff.

    .. math:: \phi_d(r) = e^{-\eta (r - R_d)^2}, \qquad R_d = r_0 + d\,\frac{r_c - r_0}{D - 1}, \quad d = 0 .. D-1

    with r the distance, :math:`r_0` the start, :math:`r_c` the cutoff and D the number of functions.

    Args:
        cutoff: :math:`r_c`, positive, in A.
        num_radial: D, at least 2.
        start: :math:`r_0`, below ``cutoff``, in A.
        eta: :math:`\eta`, positive, in 1/A^2; None takes 1/2 over the square of the step.

    Shapes:
        ``dist`` (edges,) -> (edges, radial).

    Units:
        ``dist`` in A; the result has none. Normalisation:
        :math:`\int_{-\infty}^{\infty} \phi_d^2 dr = \sqrt{\pi/2\eta}`.

    Raises:
        ValueError: ``cutoff`` is not positive and finite, ``num_radial`` is below 2, ``start`` is not below
            ``cutoff``, or ``eta`` is not positive.

    Source:
        Behler, J. Chem. Phys. 134, 074106 (2011), doi:10.1063/1.3553717, the function G2. Deviation: the function
        of one pair, without the cutoff function and the sum over neighbours.

    Example:
        >>> GaussianBasis(cutoff=4.0, num_radial=3)(torch.tensor([2.0]))
        tensor([[0.6065, 1.0000, 0.6065]])
    """

    index: Tensor

    def __init__(self, cutoff: float, num_radial: int = 16, start: float = 0.0, eta: float | None = None) -> None:
        super().__init__(cutoff, num_radial)
        if num_radial < 2:
            raise ValueError(f"'num_radial' must be at least 2, got {num_radial}: pass for example 16.")
        if not -math.inf < start < cutoff:
            raise ValueError(f"'start' must be below 'cutoff' = {cutoff} (in A), got {start}: pass for example 0.0.")
        if eta is not None:
            check_positive("1/A^2", eta=eta)
        self.start = float(start)
        self.step = (self.cutoff - self.start) / (num_radial - 1)
        self.eta = 0.5 / self.step**2 if eta is None else float(eta)
        self.register_buffer("index", torch.arange(num_radial, dtype=torch.get_default_dtype()), persistent=False)

    def forward(self, dist: Float[Tensor, " edges"]) -> Float[Tensor, "edges radial"]:
        """Values of all functions at each distance."""
        return gaussian(dist, self.start + self.index.to(dist.dtype) * self.step, self.eta)

    def extra_repr(self) -> str:
        """Sizes for ``repr``."""
        return f"{super().extra_repr()}, start={self.start:g}, eta={self.eta:g}"


class BesselBasis(RadialBasis):
    r"""Bessel functions: the radial waves that vanish on a sphere of the cutoff's radius.

    .. math:: \phi_n(r) = \sqrt{\frac{2}{r_c}}\,\frac{\sin(n \pi r / r_c)}{r}, \qquad n = 1 .. N

    with r the distance, :math:`r_c` the cutoff and N the number of functions.

    Args:
        cutoff: :math:`r_c`, positive, in A.
        num_radial: N, at least 1.

    Shapes:
        ``dist`` (edges,), positive -> (edges, radial).

    Units:
        ``dist`` in A; the result in A^(-3/2). Normalisation: :math:`\int_0^{r_c} \phi_n \phi_m r^2 dr = \delta_{nm}`.

    Raises:
        ValueError: ``cutoff`` is not positive and finite, or ``num_radial`` is below 1.

    Source:
        Gasteiger, Gross and Guennemann, ICLR 2020, arXiv:2003.03123, Eq. (7). Deviations: the frequencies are
        fixed, not learned, and the cutoff function is left out.

    Example:
        >>> BesselBasis(cutoff=4.0, num_radial=3)(torch.tensor([1.0]))
        tensor([[0.5000, 0.7071, 0.5000]])
    """

    n: Tensor

    def __init__(self, cutoff: float, num_radial: int = 8) -> None:
        super().__init__(cutoff, num_radial)
        self.register_buffer("n", torch.arange(1, num_radial + 1, dtype=torch.get_default_dtype()), persistent=False)

    def forward(self, dist: Float[Tensor, " edges"]) -> Float[Tensor, "edges radial"]:
        """Values of all functions at each distance."""
        return bessel(dist, self.n.to(dist.dtype), self.cutoff)


class ExpNormalBasis(RadialBasis):
    r"""Gaussians of :math:`e^{-\alpha r}`: narrow at short distances, wide at long ones.

    .. math::
        \phi_k(r) = e^{-\beta (e^{-\alpha r} - \mu_k)^2}, \qquad
        \mu_k = e^{-\alpha r_c} + k\,\frac{1 - e^{-\alpha r_c}}{K - 1}, \quad k = 0 .. K-1, \qquad
        \beta = \left[\tfrac{2}{K} (1 - e^{-\alpha r_c})\right]^{-2}

    with r the distance, :math:`r_c` the cutoff and K the number of functions.

    Args:
        cutoff: :math:`r_c`, positive, in A.
        num_radial: K, at least 2.
        alpha: :math:`\alpha`, positive, in 1/A.

    Shapes:
        ``dist`` (edges,) -> (edges, radial).

    Units:
        ``dist`` in A; the result has none. Normalisation, with :math:`s = e^{-\alpha r}`:
        :math:`\int_{-\infty}^{\infty} \phi_k^2 ds = \sqrt{\pi/2\beta}`.

    Raises:
        ValueError: ``cutoff`` is not positive and finite, ``num_radial`` is below 2, or ``alpha`` is not positive.

    Source:
        Unke and Meuwly (PhysNet), J. Chem. Theory Comput. 15, 3678 (2019), arXiv:1902.08408, the functions g_k.
        Deviations: centres and width are fixed, not learned; the cutoff function is left out; alpha is 1/A there.

    Example:
        >>> ExpNormalBasis(cutoff=4.0, num_radial=3)(torch.tensor([0.0, 4.0]))
        tensor([[0.1054, 0.5698, 1.0000],
                [1.0000, 0.5698, 0.1054]])
    """

    index: Tensor

    def __init__(self, cutoff: float, num_radial: int = 16, alpha: float = 1.0) -> None:
        super().__init__(cutoff, num_radial)
        if num_radial < 2:
            raise ValueError(f"'num_radial' must be at least 2, got {num_radial}: pass for example 16.")
        check_positive("1/A", alpha=alpha)
        self.alpha = float(alpha)
        self.start = math.exp(-self.alpha * self.cutoff)
        self.step = (1.0 - self.start) / (num_radial - 1)
        self.beta = (2.0 / num_radial * (1.0 - self.start)) ** -2
        self.register_buffer("index", torch.arange(num_radial, dtype=torch.get_default_dtype()), persistent=False)

    def forward(self, dist: Float[Tensor, " edges"]) -> Float[Tensor, "edges radial"]:
        """Values of all functions at each distance."""
        return exp_normal(dist, self.start + self.index.to(dist.dtype) * self.step, self.beta, self.alpha)

    def extra_repr(self) -> str:
        """Sizes for ``repr``."""
        return f"{super().extra_repr()}, alpha={self.alpha:g}"
