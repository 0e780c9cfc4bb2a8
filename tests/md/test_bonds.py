from __future__ import annotations

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
