from __future__ import annotations

import pytest

from pyg_mpnn import units


def test_constants_equal_those_of_ase():
    ase = pytest.importorskip("ase.units", reason="ASE is not installed (extra md)")
    expected = {
        "MEV": 1e-3,
        "KCAL_PER_MOL": ase.kcal / ase.mol,
        "KJ_PER_MOL": ase.kJ / ase.mol,
        "HARTREE": ase.Hartree,
        "BOHR": ase.Bohr,
        "DEBYE": ase.Debye,
        "GPA": ase.GPa,
        "BOLTZMANN": ase.kB,
    }
    assert {name: getattr(units, name) for name in units.__all__} == pytest.approx(expected, rel=1e-14)


def test_constants_are_consistent_with_each_other():
    kcal_in_kj = units.KCAL_PER_MOL / units.KJ_PER_MOL
    assert kcal_in_kj == pytest.approx(4.184, rel=1e-14)
    # e^2 / (4 pi eps0) = hartree * bohr, 14.3996 eV A
    coulomb = units.HARTREE * units.BOHR
    assert coulomb == pytest.approx(14.399645, rel=1e-6)
