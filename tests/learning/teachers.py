"""Teachers that misbehave, by a mark on the structure: its number of atoms."""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np
from ase.calculators.emt import EMT


class Moody(EMT):
    """Raises for 2 atoms, hangs for 3, dies for 4; prints for each."""

    def calculate(self, atoms: Any, properties: Any, changes: Any) -> None:
        print("calculating", len(atoms), flush=True)
        if len(atoms) == 2:
            raise RuntimeError("not today")
        if len(atoms) == 3:
            time.sleep(600)
        if len(atoms) == 4:
            os._exit(7)
        super().calculate(atoms, properties, changes)


class Wrong(EMT):
    """Forces times a factor, with noise on top that depends on the positions alone."""

    def __init__(self, factor: float = 1.0, noise: float = 0.0) -> None:
        super().__init__()
        self.factor, self.noise = factor, noise

    def calculate(self, atoms: Any, properties: Any, changes: Any) -> None:
        super().calculate(atoms, properties, changes)
        forces = self.results["forces"]
        self.results["forces"] = self.factor * forces + self.noise * np.sin(1e4 * atoms.positions)


class Never(EMT):
    """Is not converged where an atom is displaced by more than a little."""

    converged = False


class Forgetful(EMT):
    """ASE's EMT sums over a list of neighbours that it keeps: its last digits depend on what it was asked before."""

    def calculate(self, atoms: Any, properties: Any, changes: Any) -> None:
        fresh = EMT()
        fresh.calculate(atoms, properties, changes)
        self.results = fresh.results
