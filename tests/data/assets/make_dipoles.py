"""Small molecules with dipole moments and polarizabilities at the level GFN2-xTB: makes ``dipoles.npz``.

Geometries are those of QM9 (CC0), moved at random by 0.03 A an atom and axis, so that energies, forces and dipoles vary
around the minima. Polarizabilities are central differences of the dipole moment in fields of 0.0005 atomic units.

Needs tblite (0.8.0 made the file), outside the environment of the tests:
python tests/data/assets/make_dipoles.py FOLDER_OF_QM9
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from tblite.interface import Calculator
from tblite.library import ffi

COUNT, ATOMS, SEED, NOISE, FIELD = 200, 12, 0, 0.03, 5e-4
BOHR, HARTREE = 0.529177210544, 27.211386245981  # A, eV


def evaluate(numbers: np.ndarray, positions: np.ndarray, field: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Energy, gradient, dipole and charges in atomic units."""
    calculator = Calculator("GFN2-xTB", numbers, positions / BOHR)
    calculator.set("verbosity", 0)
    calculator.set("accuracy", 0.01)
    if field is not None:
        calculator.add("electric-field", ffi.new("double[3]", field.tolist()))
    result = calculator.singlepoint()
    return {name: np.asarray(result.get(name)) for name in ("energy", "gradient", "dipole", "charges")}


def label(numbers: np.ndarray, positions: np.ndarray) -> dict[str, np.ndarray]:
    """References in eV, A and e; the polarizability in Bohr^3."""
    found = evaluate(numbers, positions)
    columns = []
    for axis in np.eye(3):
        ahead, behind = (evaluate(numbers, positions, sign * FIELD * axis)["dipole"] for sign in (1, -1))
        columns.append((ahead - behind) / (2 * FIELD))
    polarizability = np.array(columns)
    return {
        "energy": found["energy"] * HARTREE,
        "forces": -found["gradient"] * HARTREE / BOHR,
        "dipole": found["dipole"] * BOHR,
        "polarizability": 0.5 * (polarizability + polarizability.T),
        "charges": found["charges"],
    }


def main(folder: Path) -> None:
    """Write the file."""
    with np.load(next(folder.glob("*_geometry.npz"))) as geometry:
        ends = geometry["natoms"].cumsum()
        sizes = geometry["natoms"]
        places = np.flatnonzero(sizes <= ATOMS)
        places = places[np.linspace(0, len(places) - 1, COUNT).astype(int)]
        molecules = [
            (geometry["Z"][ends[k] - sizes[k] : ends[k]], geometry["pos_microangstrom"][ends[k] - sizes[k] : ends[k]])
            for k in places
        ]
        gdb = geometry["index"][places]
    rng = np.random.default_rng(SEED)
    columns: dict[str, list[np.ndarray]] = {}
    for numbers, places_of_atoms in molecules:
        positions = places_of_atoms * 1e-6
        positions = np.round(positions + NOISE * rng.standard_normal(positions.shape), 5)
        row = {"z": numbers.astype(np.uint8), "pos": positions, **label(numbers.astype(int), positions)}
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
    stacked = {name: np.array(values) for name, values in columns.items() if name in ("energy", "dipole")}
    stacked["polarizability"] = np.array(columns["polarizability"]).astype(np.float32)
    joined = {name: np.concatenate(columns[name]) for name in ("z", "pos", "forces", "charges")}
    joined |= {name: joined[name].astype(np.float32) for name in ("forces", "charges")}
    stacked["dipole"] = stacked["dipole"].astype(np.float32)
    out = Path(__file__).with_name("dipoles.npz")
    np.savez_compressed(out, gdb=gdb, natoms=np.array([len(z) for z, _ in molecules], np.uint8), **joined, **stacked)
    print(f"{out}: {len(molecules)} molecules, {out.stat().st_size} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
