"""Heat and free energy from vibrations, through ASE."""

from __future__ import annotations

from dataclasses import dataclass

from ase import Atoms, units
from ase.thermochemistry import HarmonicThermo, IdealGasThermo

from pyg_mpnn.md.normal_modes import NormalModes

__all__ = ["Thermochemistry", "thermochemistry"]


@dataclass(frozen=True)
class Thermochemistry:
    """Thermodynamic functions at one temperature.

    Args:
        model: ``ideal gas`` (rigid rotor, harmonic vibrations), ``harmonic, Gamma point`` for a periodic structure, or
            ``harmonic, atoms fixed`` where some do not move.
        temperature_K: the temperature.
        enthalpy_eV: enthalpy of the ideal gas, internal energy of the others, electronic energy included.
        entropy_eV_per_K: entropy.
        free_energy_eV: Gibbs energy of the ideal gas, Helmholtz energy of the others.
    """

    model: str
    temperature_K: float
    enthalpy_eV: float
    entropy_eV_per_K: float
    free_energy_eV: float


def thermochemistry(
    atoms: Atoms,
    modes: NormalModes,
    energy: float,
    temperature: float,
    *,
    pressure: float = 101325.0,
    symmetry_number: int = 1,
    spin: float = 0.0,
) -> Thermochemistry:
    """Thermodynamic functions of a molecule as an ideal gas, or of vibrations alone (periodic, or with atoms fixed).

    Args:
        atoms: the structure, at a minimum.
        modes: its vibrations, none of them imaginary.
        energy: electronic energy in eV.
        temperature: in K.
        pressure: of the gas, in Pa.
        symmetry_number: of the molecule: 2 for water, 12 for methane.
        spin: of the electrons: 0 where all are paired, 1 for O2.

    Returns:
        The thermodynamic functions.

    Units:
        eV, eV/K.

    Raises:
        ValueError: a frequency is imaginary.

    Source:
        C. J. Cramer, Essentials of Computational Chemistry, 2nd ed. (2004), chapter 10, as in ASE.
    """
    if modes.num_imaginary:
        raise ValueError(
            f"'modes' must have real frequencies only, got {modes.num_imaginary} imaginary ones: relax first"
        )
    if atoms.pbc.any() or modes.num_whole == 0:
        solid = HarmonicThermo(modes.energies.tolist(), potentialenergy=energy)
        values = (
            solid.get_internal_energy(temperature, verbose=False),
            solid.get_entropy(temperature, verbose=False),
            solid.get_helmholtz_energy(temperature, verbose=False),
        )
        model = "harmonic, atoms fixed" if modes.num_whole == 0 else "harmonic, Gamma point"
        return Thermochemistry(model, temperature, *map(float, values))
    gas = IdealGasThermo(
        modes.energies.tolist(),
        geometry="linear" if modes.num_whole == 5 else "nonlinear",
        potentialenergy=energy,
        atoms=atoms,
        symmetrynumber=symmetry_number,
        spin=spin,
    )
    enthalpy = float(gas.get_enthalpy(temperature, verbose=False))
    entropy = float(gas.get_entropy(temperature, pressure, verbose=False))
    return Thermochemistry("ideal gas", temperature, enthalpy, entropy, enthalpy - temperature * entropy)


def in_words(found: Thermochemistry) -> str:
    """The thermodynamic functions as one line.

    Args:
        found: the functions.

    Returns:
        The line.
    """
    names = ("enthalpy", "Gibbs energy") if found.model == "ideal gas" else ("internal energy", "Helmholtz energy")
    per_mole = found.entropy_eV_per_K * units.mol / units.kJ * 1e3
    return (
        f"at {found.temperature_K:g} K ({found.model}): {names[0]} {found.enthalpy_eV:.4f} eV, entropy "
        f"{1e3 * found.entropy_eV_per_K:.4f} meV/K ({per_mole:.2f} J/mol/K), "
        f"{names[1]} {found.free_energy_eV:.4f} eV"
    )
