"""Which bonds a dynamics has broken or formed."""

from __future__ import annotations

import re

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from jaxtyping import Float

__all__ = ["Bonds"]

_BONDED, _BROKEN = 1.25, 1.5  # distance over the sum of the covalent radii


class Bonds:
    r"""The bonds of a molecule, to see whether a dynamics has broken or formed one, or moved a hydrogen.

    .. math:: \rho_{ij} = \frac{|r_i - r_j|}{R_i + R_j}

    with covalent radii :math:`R`. A pair is bonded where :math:`\rho < 1.25`, at the start and later: a proton 1.03 A
    from its new oxygen has :math:`\rho = 1.06`. A bond of the start counts as broken where :math:`\rho > 1.5`: what
    lies between is what a vibration reaches. A hydrogen whose only bond is broken and which has a new one is
    transferred.

    Args:
        atoms: the molecule at the start, not periodic.

    Units:
        positions in A.

    Source:
        radii: B. Cordero et al., Dalton Trans. 2832 (2008), as in ASE; the two factors are our own choice.
    """

    def __init__(self, atoms: Atoms) -> None:
        radii = covalent_radii[atoms.numbers]
        self.symbols = list(atoms.symbols)
        self.pairs = np.stack(np.triu_indices(len(atoms), k=1))
        self.sums = radii[self.pairs[0]] + radii[self.pairs[1]]
        self.bonded = self._ratios(atoms.positions) < _BONDED

    def changes(self, positions: Float[np.ndarray, "nodes 3"]) -> list[str]:
        """Name the bonds that are broken or new at these positions, and the hydrogens that have moved over.

        Args:
            positions: of the atoms, in A.

        Returns:
            One text per change, for example "C0-H3 broken" or "H3 transferred from O2 to O5", in which the bonds that
            it left and took are not told again; empty if all is as at the start.
        """
        ratios = self._ratios(positions)
        broken = [(int(i), int(j)) for i, j in self.pairs[:, self.bonded & (ratios > _BROKEN)].T]
        formed = [(int(i), int(j)) for i, j in self.pairs[:, ~self.bonded & (ratios < _BONDED)].T]
        texts = []
        for hydrogen in (k for k, symbol in enumerate(self.symbols) if symbol == "H"):
            left = [pair for pair in broken if hydrogen in pair]
            taken = [pair for pair in formed if hydrogen in pair]
            if len(left) == len(taken) == 1 and int((self.bonded & (self.pairs == hydrogen).any(axis=0)).sum()) == 1:
                donor, acceptor = sum(left[0]) - hydrogen, sum(taken[0]) - hydrogen
                texts.append(f"{self._name(hydrogen)} transferred from {self._name(donor)} to {self._name(acceptor)}")
                broken.remove(left[0])
                formed.remove(taken[0])
        texts += [f"{self._bond(pair)} broken" for pair in broken]
        return texts + [f"{self._bond(pair)} formed" for pair in formed]

    def add(self, found: dict[str, int], positions: Float[np.ndarray, "nodes 3"], step: int) -> None:
        """Add the changes of a frame to those found before; a transfer takes the place of the bonds on the way to it.

        Args:
            found: step of the first frame of each change, changed in place.
            positions: of the atoms, in A.
            step: of the frame.
        """
        for change in self.changes(positions):
            if change not in found and (match := re.fullmatch(r"(H\d+) transferred from (\w+) to (\w+)", change)):
                hydrogen, donor, acceptor = match.groups()
                for pair in (f"{hydrogen}-{donor} broken", f"{donor}-{hydrogen} broken"):
                    found.pop(pair, None)
                for pair in (f"{hydrogen}-{acceptor} formed", f"{acceptor}-{hydrogen} formed"):
                    found.pop(pair, None)
            found.setdefault(change, step)

    def _name(self, atom: int) -> str:
        return f"{self.symbols[atom]}{atom}"

    def _bond(self, pair: tuple[int, int]) -> str:
        return f"{self._name(pair[0])}-{self._name(pair[1])}"

    def _ratios(self, positions: np.ndarray) -> np.ndarray:
        i, j = self.pairs
        ratios: np.ndarray = np.linalg.norm(positions[i] - positions[j], axis=1) / self.sums
        return ratios
