"""Teachers that misbehave, by a mark on the structure: its number of atoms."""

from __future__ import annotations

import os
import time
from typing import Any

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
