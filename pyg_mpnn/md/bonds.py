"""Which bonds a dynamics has broken or formed."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from jaxtyping import Float

__all__ = ["Bonds"]


class Bonds:
    r"""The bonds of a molecule, to see whether a dynamics has broken or formed one.

    .. math:: \rho_{ij} = \frac{|r_i - r_j|}{R_i + R_j}

    with covalent radii :math:`R`. A pair is bonded at the start where :math:`\rho < 1.25`. Later a bond counts as
    broken where :math:`\rho > 1.5` and a new one as formed where :math:`\rho < 1`: between them lies what a vibration
    reaches.

    Args:
        atoms: the molecule at the start, not periodic.

    Units:
        positions in A.

    Source:
        radii: B. Cordero et al., Dalton Trans. 2832 (2008), as in ASE; the three factors are our own choice.
    """

    def __init__(self, atoms: Atoms) -> None:
        radii = covalent_radii[atoms.numbers]
        self.symbols = list(atoms.symbols)
        self.pairs = np.stack(np.triu_indices(len(atoms), k=1))
        self.sums = radii[self.pairs[0]] + radii[self.pairs[1]]
        self.bonded = self._ratios(atoms.positions) < 1.25

    def changes(self, positions: Float[np.ndarray, "nodes 3"]) -> list[str]:
        """Name the bonds that are broken or new at these positions.

        Args:
            positions: of the atoms, in A.

        Returns:
            One text per bond, for example "C0-H3 broken"; empty if all is as at the start.
        """
        ratios = self._ratios(positions)
        broken, formed = self.bonded & (ratios > 1.5), ~self.bonded & (ratios < 1.0)
        return [
            f"{self.symbols[i]}{i}-{self.symbols[j]}{j} {'broken' if gone else 'formed'}"
            for i, j, gone in zip(*self.pairs[:, broken | formed], broken[broken | formed], strict=True)
        ]

    def _ratios(self, positions: np.ndarray) -> np.ndarray:
        i, j = self.pairs
        ratios: np.ndarray = np.linalg.norm(positions[i] - positions[j], axis=1) / self.sums
        return ratios
