"""Teachers that misbehave, by a mark on the structure: its number of atoms."""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np
from ase.calculators.calculator import Calculator
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


class Nan(EMT):
    """Gives forces that are not finite after a number of good ones."""

    def __init__(self, good: int = 0) -> None:
        super().__init__()
        self.good = good

    def calculate(self, atoms: Any, properties: Any, changes: Any) -> None:
        super().calculate(atoms, properties, changes)
        self.good -= 1
        if self.good < 0:
            self.results["forces"] = np.full((len(atoms), 3), np.nan)


class Springs(Calculator):
    """Each atom on a spring to its place in a crystal, whose force constant is 2 eV/A^2."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012 (ASE's types)

    def __init__(self, places: Any, strength: float = 2.0, furthest: float = np.inf) -> None:
        super().__init__()
        self.places, self.strength, self.furthest = np.array(places), strength, furthest

    def calculate(self, atoms: Any, properties: Any, changes: Any) -> None:
        away = atoms.positions - self.places
        if np.abs(away).max() > self.furthest:
            raise RuntimeError("too far away")
        self.results = {"energy": 0.5 * self.strength * (away**2).sum(), "forces": -self.strength * away}
