"""The twelve targets of QM9: units, and what the free atoms contribute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pyg_mpnn.units import HARTREE

Kind = Literal["extensive", "intensive", "dipole", "spatial_extent"]


@dataclass(frozen=True)
class QM9Target:
    """One target of QM9.

    Args:
        column: its name in the table of the molecules.
        unit: its unit in this package, that of the published error tables (with eV for meV).
        factor: what converts the unit of the table to it.
        kind: how a molecule's value comes from its atoms.
        free_atoms: values of the free atoms in hartree by atomic number, where the value is an energy of formation
            plus theirs.
    """

    column: str
    unit: str
    factor: float
    kind: Kind
    free_atoms: dict[int, float] | None = None


def _free(*energies: float) -> dict[int, float]:
    return dict(zip((1, 6, 7, 8, 9), energies, strict=True))


QM9_TARGETS: dict[str, QM9Target] = {
    "mu": QM9Target("mu", "D", 1.0, "dipole"),
    "alpha": QM9Target("alpha", "Bohr^3", 1.0, "extensive"),
    "homo": QM9Target("homo", "eV", HARTREE, "intensive"),
    "lumo": QM9Target("lumo", "eV", HARTREE, "intensive"),
    "gap": QM9Target("gap", "eV", HARTREE, "intensive"),
    "r2": QM9Target("r2", "Bohr^2", 1.0, "spatial_extent"),
    "zpve": QM9Target("zpve", "eV", HARTREE, "extensive"),
    "U0": QM9Target("u0", "eV", HARTREE, "extensive", _free(-0.500273, -37.846772, -54.583861, -75.064579, -99.718730)),
    "U": QM9Target(
        "u298", "eV", HARTREE, "extensive", _free(-0.498857, -37.845355, -54.582445, -75.063163, -99.717314)
    ),
    "H": QM9Target(
        "h298", "eV", HARTREE, "extensive", _free(-0.497912, -37.844411, -54.581501, -75.062219, -99.716370)
    ),
    "G": QM9Target(
        "g298", "eV", HARTREE, "extensive", _free(-0.510927, -37.861317, -54.598897, -75.079532, -99.733544)
    ),
    "Cv": QM9Target("cv", "cal/(mol K)", 1.0, "extensive"),
}
"""The targets by name. Free atoms: ``atomref.txt`` of the data set, B3LYP/6-31G(2df,p) (Ramakrishnan et al., Sci. Data
1, 140022 (2014), doi:10.6084/m9.figshare.c.978904)."""
