from __future__ import annotations

import numpy as np
from ase import Atoms

from pyg_mpnn.md.bonds import Bonds


def test_bonds_of_ethanol(molecule: Atoms) -> None:
    bonds = Bonds(molecule)
    pairs = {(int(i), int(j)) for i, j in bonds.pairs[:, bonds.bonded].T}
    assert pairs == {(0, 1), (1, 2), (2, 3), (1, 4), (1, 5), (0, 6), (0, 7), (0, 8)}


def test_vibration_is_no_change(molecule: Atoms) -> None:
    assert Bonds(molecule).changes(1.15 * molecule.positions) == []  # every bond 15 % longer


def test_broken_and_formed_bonds_are_named(molecule: Atoms) -> None:
    bonds = Bonds(molecule)
    stretched = molecule.positions.copy()
    stretched[3] += stretched[3] - stretched[2]
    assert bonds.changes(stretched) == ["O2-H3 broken"]
    joined = molecule.positions.copy()
    joined[4] = joined[5] + [0.0, 0.0, 0.55]
    assert "H4-H5 formed" in bonds.changes(joined)


def hydrogen_bonded() -> Atoms:
    """HCOOH...OH2: the proton H4 of O2 points at the oxygen O5 of a water, 2.6 A away."""
    symbols = "COOHHOHH"
    positions = [[0, 0, 0], [1.2, 0, 0], [-0.7, 1.1, 0], [-0.6, -0.95, 0], [0, 1.75, 0], [1.14, 2.95, 0]]
    positions += [[1.9, 2.9, 0.6], [1.0, 3.9, 0.1]]
    return Atoms(symbols, positions)


def test_proton_transfer_is_one_and_no_broken_bond() -> None:
    atoms = hydrogen_bonded()
    bonds = Bonds(atoms)
    donor, acceptor = atoms.positions[[2, 5]]
    axis = (acceptor - donor) / np.linalg.norm(acceptor - donor)

    def moved(to_acceptor: float) -> np.ndarray:
        positions = atoms.positions.copy()
        positions[4] = acceptor - to_acceptor * axis
        return positions

    assert bonds.changes(moved(1.6)) == []
    assert bonds.changes(moved(1.03)) == ["H4 transferred from O2 to O5"]
    assert bonds.changes(moved(1.13)) == ["H4 transferred from O2 to O5"]
    away = moved(1.03)
    away[4, 2] += 4.0
    assert bonds.changes(away) == ["O2-H4 broken"]


def test_transfer_takes_the_place_of_what_led_to_it() -> None:
    atoms = hydrogen_bonded()
    bonds, found = Bonds(atoms), {"O2-H4 broken": 10, "H4-O5 formed": 15, "C0-O1 broken": 5}
    positions = atoms.positions.copy()
    axis = (positions[5] - positions[2]) / np.linalg.norm(positions[5] - positions[2])
    positions[4] = positions[5] - 1.0 * axis
    bonds.add(found, positions, 20)
    bonds.add(found, positions, 30)
    assert found == {"C0-O1 broken": 5, "H4 transferred from O2 to O5": 20}
