"""The infrared spectrum of methanol at the level GFN2-xTB, to hold a learned one to: benchmarks/results/infrared.json.

Relaxed, then central differences of forces and dipole moment by 0.005 A; frequencies and intensities by
``pyg_mpnn.md``. Needs tblite (0.8.0 made the file), outside the environment of the tests: python -m benchmarks.infrared
"""

from __future__ import annotations

from importlib.metadata import version

import numpy as np
from ase.build import molecule
from ase.optimize import BFGS
from tblite.ase import TBLite

from benchmarks.record import RESULTS, provenance, write
from pyg_mpnn.md import infrared_intensities, normal_modes

STEP = 0.005  # A


def main() -> None:
    """Compute and write."""
    atoms = molecule("CH3OH")
    atoms.calc = TBLite(method="GFN2-xTB", accuracy=0.01, verbosity=0)
    BFGS(atoms, logfile=None).run(fmax=1e-4)
    count = len(atoms)
    hessian, dipoles = np.zeros((count, 3, count, 3)), np.zeros((3, count, 3))
    start = atoms.positions.copy()
    for atom in range(count):
        for axis in range(3):
            for sign in (1, -1):
                atoms.positions = start
                atoms.positions[atom, axis] += sign * STEP
                hessian[atom, axis] -= sign * atoms.get_forces() / (2 * STEP)
                dipoles[:, atom, axis] += sign * atoms.get_dipole_moment() / (2 * STEP)
    atoms.positions = start
    modes = normal_modes(atoms, hessian)
    result = {
        "molecule": "CH3OH, GFN2-xTB by tblite",
        "tblite": version("tblite"),
        "frequencies_cm": modes.frequencies_cm.round(1).tolist(),
        "intensities_km_per_mol": infrared_intensities(atoms, modes, dipoles).round(2).tolist(),
    }
    print(result)
    write(RESULTS / "infrared.json", provenance() | result)


if __name__ == "__main__":
    main()
