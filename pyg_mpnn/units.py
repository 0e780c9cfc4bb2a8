"""Units: eV, A and combinations inside the package; other units become these by multiplication.

The numbers are those of ``ase.units`` (CODATA 2014), so that energies pass between this package and ASE unchanged.

Example:
    >>> from pyg_mpnn.units import KCAL_PER_MOL
    >>> round(-97.1 * KCAL_PER_MOL, 4)  # kcal/mol to eV
    -4.2107
"""

from __future__ import annotations

MEV = 1e-3
"""One milli-electronvolt in eV."""

KCAL_PER_MOL = 0.04336410390059322
"""One thermochemical kilocalorie per mole in eV."""

KJ_PER_MOL = 0.010364269574711572
"""One kilojoule per mole in eV."""

HARTREE = 27.211386024367243
"""One hartree in eV."""

BOHR = 0.5291772105638411
"""One bohr in A."""

DEBYE = 0.20819433442462576
"""One debye in elementary charges times A."""

GPA = 0.006241509125883258
"""One gigapascal in eV/A^3."""

BOLTZMANN = 8.617330337217213e-05
"""The Boltzmann constant in eV/K."""

__all__ = ["MEV", "KCAL_PER_MOL", "KJ_PER_MOL", "HARTREE", "BOHR", "DEBYE", "GPA", "BOLTZMANN"]
