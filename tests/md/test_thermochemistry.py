from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, molecule

from pyg_mpnn.md import NormalModes, thermochemistry
from pyg_mpnn.md.thermochemistry import in_words


def modes(frequencies: list[float], num_whole: int) -> NormalModes:
    return NormalModes(np.array(frequencies) * units.invcm, np.zeros((0, 0, 3)), num_whole, 0.0, 0.0)


def test_water_has_its_measured_entropy() -> None:
    """NIST-JANAF: 188.83 J/mol/K at 298.15 K and 1 bar."""
    water = modes([1595.0, 3657.0, 3756.0], 6)
    found = thermochemistry(molecule("H2O"), water, -10.0, 298.15, pressure=1e5, symmetry_number=2)
    per_mole = found.entropy_eV_per_K / units.kJ * units.mol * 1e3
    assert per_mole == pytest.approx(188.83, abs=0.5)
    assert found.free_energy_eV == pytest.approx(found.enthalpy_eV - 298.15 * found.entropy_eV_per_K)
    # three halves of kT each to move and to turn, kT for the volume, and the zero-point energy
    expected = -10.0 + 4 * units.kB * 298.15 + 0.5 * (1595 + 3657 + 3756) * units.invcm
    assert found.enthalpy_eV == pytest.approx(expected, abs=1e-4)
    assert "J/mol/K), Gibbs energy" in in_words(found)


def test_linear_molecule_turns_about_two_axes_only() -> None:
    """NIST-JANAF: nitrogen has 191.61 J/mol/K at 298.15 K and 1 bar."""
    found = thermochemistry(molecule("N2"), modes([2359.0], 5), 0.0, 298.15, pressure=1e5, symmetry_number=2)
    assert found.entropy_eV_per_K / units.kJ * units.mol * 1e3 == pytest.approx(191.61, abs=0.5)


def test_periodic_structure_only_vibrates() -> None:
    """One oscillator far below kT has the entropy k (1 + ln kT/h nu), and the energy kT."""
    found = thermochemistry(bulk("Si"), modes([1.0, 1.0, 1.0], 3), 0.0, 300.0)
    ratio = units.kB * 300 / units.invcm
    assert found.entropy_eV_per_K == pytest.approx(3 * units.kB * (1 + np.log(ratio)), rel=1e-4)
    assert found.enthalpy_eV == pytest.approx(3 * units.kB * 300, rel=1e-4)
    assert "Helmholtz energy" in in_words(found)


def test_imaginary_frequencies_are_refused() -> None:
    with pytest.raises(ValueError, match="'modes' must have real frequencies only, got 1 imaginary ones: relax first"):
        thermochemistry(Atoms("H2", [[0, 0, 0], [0, 0, 1]]), modes([-100.0], 5), 0.0, 300.0)
