"""Fixed functions of distance and direction: cutoffs, radial bases, spherical harmonics."""

from __future__ import annotations

from pyg_mpnn.basis.cutoff import (
    BumpCutoff,
    CosineCutoff,
    Cutoff,
    PolynomialCutoff,
    bump_cutoff,
    cosine_cutoff,
    polynomial_cutoff,
)
from pyg_mpnn.basis.directional import DirectionalBasis, degrees
from pyg_mpnn.basis.radial import BesselBasis, ExpNormalBasis, GaussianBasis, RadialBasis, bessel, exp_normal, gaussian
from pyg_mpnn.basis.symmetry import Symmetry, nonlinear

__all__ = [
    "Cutoff",
    "CosineCutoff",
    "PolynomialCutoff",
    "BumpCutoff",
    "cosine_cutoff",
    "polynomial_cutoff",
    "bump_cutoff",
    "RadialBasis",
    "GaussianBasis",
    "BesselBasis",
    "ExpNormalBasis",
    "gaussian",
    "bessel",
    "exp_normal",
    "DirectionalBasis",
    "degrees",
    "Symmetry",
    "nonlinear",
]
