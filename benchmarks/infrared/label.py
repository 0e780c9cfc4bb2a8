"""Methanol at the level GFN2-xTB: frames with dipole moments to learn from, and the spectrum to hold a learned one to.

    python -m benchmarks.infrared.label    writes methanol.extxyz.xz here, and benchmarks/results/infrared.json

The frames are the minimum with atoms moved at random by 0.02 to 0.08 A an axis. The spectrum is from central
differences of forces and dipole moment by 0.005 A at the minimum; frequencies and intensities by ``pyg_mpnn.md``. Needs
tblite (0.8.0 made the files), outside the environment of the tests.
"""

from __future__ import annotations

import lzma
from importlib.metadata import version
from io import StringIO
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.optimize import BFGS
from tblite.ase import TBLite

from benchmarks.record import RESULTS, provenance, write
from pyg_mpnn.md import infrared_intensities, normal_modes

STEP = 0.005  # A
COUNT = 160


def main() -> None:
    """Compute and write."""
    atoms = molecule("CH3OH")
    atoms.calc = TBLite(method="GFN2-xTB", accuracy=0.01, verbosity=0)
    BFGS(atoms, logfile=None).run(fmax=1e-4)
    text = StringIO()
    ase.io.write(text, frames(atoms.copy(), atoms.calc), format="extxyz")
    Path(__file__).with_name("methanol.extxyz.xz").write_bytes(lzma.compress(text.getvalue().encode()))
    write(RESULTS / "infrared.json", provenance() | spectrum(atoms))


def frames(atoms: Atoms, calculator: TBLite) -> list[Atoms]:
    """The minimum with atoms moved, and what the method says of it."""
    random = np.random.default_rng(0)
    found = []
    for _ in range(COUNT):
        frame = atoms.copy()
        frame.positions += random.normal(scale=random.uniform(0.02, 0.08), size=frame.positions.shape)
        frame.calc = calculator
        energy, forces, dipole = frame.get_potential_energy(), frame.get_forces(), frame.get_dipole_moment()
        frame.calc = SinglePointCalculator(frame, energy=energy, forces=forces)
        frame.info["dipole"] = dipole
        found.append(frame)
    return found


def spectrum(atoms: Atoms) -> dict[str, object]:
    """Harmonic frequencies and infrared intensities at a minimum."""
    hessian, dipoles = np.zeros((len(atoms), 3, len(atoms), 3)), np.zeros((3, len(atoms), 3))
    start = atoms.positions.copy()
    for atom in range(len(atoms)):
        for axis in range(3):
            for sign in (1, -1):
                atoms.positions = start
                atoms.positions[atom, axis] += sign * STEP
                hessian[atom, axis] -= sign * atoms.get_forces() / (2 * STEP)
                dipoles[:, atom, axis] += sign * atoms.get_dipole_moment() / (2 * STEP)
    atoms.positions = start
    modes = normal_modes(atoms, hessian)
    return {
        "molecule": "CH3OH, GFN2-xTB by tblite",
        "tblite": version("tblite"),
        "frequencies_cm": modes.frequencies_cm.round(1).tolist(),
        "intensities_km_per_mol": infrared_intensities(atoms, modes, dipoles).round(2).tolist(),
    }


if __name__ == "__main__":
    main()
