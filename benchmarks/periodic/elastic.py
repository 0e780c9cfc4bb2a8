"""Elastic constants of a cubic crystal, in two ways: a fit to cells strained by several per cent, and small strains.

A deformation F takes the unstrained cell to the strained one. With the Green-Lagrange strain E = (F^T F - 1) / 2 and
the second Piola-Kirchhoff stress S = det(F) F^-1 sigma F^-T, which no rotation of the strained cell changes, the energy
per unstrained volume has dU = S : dE exactly, at any strain, and for one strain component e of a cubic crystal

    uniaxial   U = U0 + s0 e + C11 e^2 / 2 + ...,   S_parallel = s0 + C11 e + ...,   S_across = s0 + C12 e + ...
    shear      U = U0 + 2 C44 e^2 + ...,            S = 2 C44 e + ...                (e = E_xy: half the angle)

so C11 and C44 follow from energies alone, and all three from stresses. Polynomials of degree 6 in the energy and 5 in
the stress (even and odd ones for the shear) are fitted by least squares. Atoms strained with the cell and not relaxed
give the clamped C44; in diamond, relaxing them lowers it, and changes nothing else that is computed here.

Source: D. C. Wallace, Thermodynamics of Crystals, Wiley, 1972 (finite strain).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.eos import EquationOfState
from ase.optimize import BFGS
from ase.units import GPa
from numpy.polynomial import Polynomial
from numpy.typing import NDArray

Array = NDArray[np.float64]
TINY = 1e-4  # a strain component below it is zero: the cells of the set are written to five digits


class Strained(NamedTuple):
    """One strained cell: Green-Lagrange strain, energy in eV/atom, second Piola-Kirchhoff stress in GPa."""

    strain: Array  # (3, 3)
    energy: float
    stress: Array  # (3, 3)


def measure(atoms: Atoms, cell: Array) -> Strained:
    """Strain, energy and stress of a strained supercell whose unstrained cell is ``cell`` (rows)."""
    deformation = np.linalg.inv(cell) @ atoms.cell.array  # F^T, since cells are rows
    inverse = np.linalg.inv(deformation)
    stress = atoms.get_stress(voigt=False) / GPa
    return Strained(
        strain=(deformation @ deformation.T - np.eye(3)) / 2,
        energy=atoms.get_potential_energy() / len(atoms),
        stress=np.linalg.det(deformation) * inverse.T @ stress @ inverse,
    )


def fit_constants(samples: Sequence[Strained], volume_per_atom: float, length: float) -> dict[str, Any]:
    """Constants (GPa) at the unstrained cell of cubic lattice constant ``length`` (A), or which are not determined."""
    uniaxial, shear = [], []
    for sample in samples:
        diagonal, off = np.diag(sample.strain), sample.strain[np.triu_indices(3, 1)]
        if (np.abs(off) < TINY).all() and (np.abs(diagonal) > TINY).sum() <= 1:
            axis = int(np.abs(diagonal).argmax())
            across = np.delete(np.diag(sample.stress), axis).mean()
            uniaxial.append((diagonal[axis], sample.energy, sample.stress[axis, axis], across))
        if (np.abs(diagonal) < TINY).all() and (np.abs(off) > TINY).sum() <= 1:
            pair = int(np.abs(off).argmax())
            shear.append((off[pair], sample.energy, sample.stress[np.triu_indices(3, 1)][pair]))
    found: dict[str, Any] = {"uniaxial_frames": len(uniaxial), "shear_frames": len(shear)}
    if distinct(uniaxial) < 8 or distinct(shear) < 8:
        return found | {"determined": False}
    e, energy, along, across = np.array(uniaxial).T
    scale = volume_per_atom * GPa  # eV/atom of one GPa
    by_energy, parallel, perpendicular = fit(e, energy, range(7)), fit(e, along, range(6)), fit(e, across, range(6))
    c11, c12, pressure = parallel[1], perpendicular[1], -parallel[0]
    g, shear_energy, shear_stress = np.array(shear).T
    sheared, resisting = fit(g, shear_energy, (0, 2, 4, 6)), fit(g, shear_stress, (1, 3, 5))
    bulk = (c11 + 2 * c12) / 3
    return found | {
        "determined": True,
        "uniaxial_strains": distinct(uniaxial),
        "shear_strains": distinct(shear),
        "largest_strain": float(np.abs(e).max()),
        "pressure_of_unstrained_cell_GPa": pressure,
        "lattice_constant_A": length * np.sqrt(1 + 2 * pressure / (3 * bulk)),
        "bulk_modulus_GPa": bulk,
        "C11_GPa": c11,
        "C12_GPa": c12,
        "C44_clamped_GPa": resisting[1] / 2,
        "C11_from_energies_GPa": 2 * by_energy[2] / scale,
        "C44_clamped_from_energies_GPa": sheared[2] / 2 / scale,
        "rms_of_fit_meV_per_atom": 1e3 * rms([(e, energy, by_energy), (g, shear_energy, sheared)]),
        "rms_of_fit_GPa": rms([(e, along, parallel), (e, across, perpendicular), (g, shear_stress, resisting)]),
    }


def distinct(rows: Sequence[tuple[float, ...]]) -> int:
    """Number of different strains."""
    return len({round(row[0] / TINY) for row in rows})


def fit(x: Array, y: Array, powers: Sequence[int]) -> Array:
    """Coefficients, by power, of the polynomial with these powers that fits best."""
    found, *_ = np.linalg.lstsq(np.stack([x**power for power in powers], axis=1), y)
    coefficients = np.zeros(max(powers) + 1)
    coefficients[list(powers)] = found
    return coefficients


def rms(fits: Sequence[tuple[Array, Array, Array]]) -> float:
    """Root mean square of what several fits leave."""
    rest = np.concatenate([y - Polynomial(coefficients)(x) for x, y, coefficients in fits])
    return float(np.sqrt(np.mean(rest**2)))


def equation_of_state(crystal: Atoms, calculator: Calculator) -> dict[str, Any]:
    """Birch-Murnaghan fit to the energies of a cubic crystal whose lengths are changed by up to 3 %."""
    volumes, energies = [], []
    for factor in np.linspace(0.97, 1.03, 13):
        atoms = crystal.copy()
        atoms.set_cell(factor * crystal.cell, scale_atoms=True)
        atoms.calc = calculator
        volumes.append(atoms.get_volume() / len(atoms))
        energies.append(atoms.get_potential_energy() / len(atoms))
    states = EquationOfState(volumes, energies, eos="birchmurnaghan")
    volume, energy, bulk = states.fit()
    return {
        "volume_A3_per_atom": float(volume),
        "energy_eV_per_atom": float(energy),
        "bulk_modulus_GPa": float(bulk / GPa),
        "bulk_modulus_derivative": float(states.eos_parameters[2]),
        "volumes_A3_per_atom": volumes,
        "energies_eV_per_atom": energies,
    }


def small_strain_constants(crystal: Atoms, calculator: Calculator, size: float = 0.002) -> dict[str, float]:
    """Constants (GPa) of a cubic crystal at zero pressure: central differences of the stress."""

    def slope(row: int, column: int, relaxed: bool) -> Array:
        stresses = []
        for sign in (1.0, -1.0):
            strain = np.zeros((3, 3))
            strain[row, column] = strain[column, row] = sign * size
            atoms = crystal.copy()
            atoms.set_cell(crystal.cell @ (np.eye(3) + strain), scale_atoms=True)
            atoms.calc = calculator
            if relaxed:
                BFGS(atoms, logfile=None).run(fmax=1e-5, steps=500)
            stresses.append(atoms.get_stress(voigt=False) / GPa)
        return (stresses[0] - stresses[1]) / (2 * size)

    stretched = slope(0, 0, relaxed=False)
    return {
        "C11_GPa": float(stretched[0, 0]),
        "C12_GPa": float(stretched[1, 1] + stretched[2, 2]) / 2,
        "C44_clamped_GPa": float(slope(0, 1, relaxed=False)[0, 1]) / 2,
        "C44_relaxed_GPa": float(slope(0, 1, relaxed=True)[0, 1]) / 2,
    }
