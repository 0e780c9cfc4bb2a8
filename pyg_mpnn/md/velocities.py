"""Thermal velocities without motion of the whole."""

from __future__ import annotations

import numpy as np
from ase import Atoms, units
from jaxtyping import Float

from pyg_mpnn.md.constraints import removed_degrees

__all__ = ["degrees_of_freedom", "remove_drift", "start_velocities", "thermal_velocities"]


def start_velocities(
    atoms: Atoms, temperature: float, rng: np.random.Generator, *, drawn: bool = True, whole: bool = False
) -> tuple[int, float]:
    """Give a structure the velocities that a dynamics starts with, and count its degrees of freedom.

    Without constraints the motion of the whole is taken out: total momentum and, for a molecule, angular momentum.
    Drawn velocities are then scaled to exactly the temperature. Velocities that the structure has stay as they are to
    the last bit where the whole is at rest already (its kinetic energy below 1e-12 of all).

    Args:
        atoms: the structure, changed in place.
        temperature: of the velocities that are drawn, in K.
        rng: source of the random numbers.
        drawn: whether velocities are drawn, or those of the structure kept.
        whole: whether the motion of the whole shall have its share, as Langevin dynamics gives it, so that nothing is
            taken out or scaled.

    Returns:
        Degrees of freedom that share the kinetic energy, and the kinetic energy of the motion of the whole that was
        taken out of velocities that the structure had, in eV.

    Raises:
        ValueError: nothing can move.
    """
    masses, molecule = atoms.get_masses(), not atoms.pbc.any()
    rest = not whole and not atoms.constraints
    dof = 3 * len(atoms) - removed_degrees(atoms)
    if rest:
        dof = degrees_of_freedom(atoms.positions, masses, rotation=molecule)
    if dof < 1:
        raise ValueError(f"'structure' must have something that moves, got constraints {atoms.constraints}")
    if drawn:
        velocities = thermal_velocities(masses, temperature, rng)
        atoms.set_velocities(remove_drift(atoms.positions, velocities, masses, molecule) if rest else velocities)
        if not whole:
            kinetic = 0.5 * dof * units.kB * temperature
            atoms.set_velocities(atoms.get_velocities() * np.sqrt(kinetic / atoms.get_kinetic_energy()))
        return dof, 0.0
    before = atoms.get_kinetic_energy()
    at_rest = remove_drift(atoms.positions, atoms.get_velocities(), masses, molecule) if rest else None
    if at_rest is None or before - 0.5 * float((masses[:, None] * at_rest**2).sum()) < 1e-12 * before:
        return dof, 0.0
    atoms.set_velocities(at_rest)
    return dof, float(before - atoms.get_kinetic_energy())


def thermal_velocities(
    masses: Float[np.ndarray, " nodes"], temperature: float, rng: np.random.Generator
) -> Float[np.ndarray, "nodes 3"]:
    r"""Draw velocities from the Maxwell-Boltzmann distribution.

    .. math:: v_{i\alpha} = \sqrt{k_B T / m_i} \; \xi_{i\alpha}, \qquad \xi \sim N(0, 1)

    with masses :math:`m_i` and temperature :math:`T`.

    Args:
        masses: of the atoms, positive.
        temperature: at least 0.
        rng: source of the random numbers.

    Returns:
        The velocities.

    Shapes:
        masses (nodes,); velocities (nodes, 3).

    Units:
        masses in atomic mass units, temperature in K, velocities in ASE's unit, sqrt(eV / amu).

    Source:
        J. C. Maxwell, Phil. Mag. 19, 19 (1860), proposition IV.
    """
    return np.sqrt(units.kB * temperature / masses)[:, None] * rng.standard_normal((len(masses), 3))


def remove_drift(
    positions: Float[np.ndarray, "nodes 3"],
    velocities: Float[np.ndarray, "nodes 3"],
    masses: Float[np.ndarray, " nodes"],
    rotation: bool,
) -> Float[np.ndarray, "nodes 3"]:
    r"""Take the motion of the whole out of the velocities: total momentum and, for a molecule, angular momentum.

    .. math:: v_i' = v_i - v_0 - \omega \times (r_i - r_0), \qquad I \omega = \sum_i m_i (r_i - r_0) \times (v_i - v_0)

    with centre of mass :math:`r_0`, its velocity :math:`v_0`, and tensor of inertia :math:`I`, of which the
    pseudo-inverse is taken: a linear molecule does not rotate about its axis.

    Args:
        positions: of the atoms.
        velocities: to be freed of drift.
        masses: of the atoms, positive.
        rotation: whether to remove the angular momentum too (it has no meaning in a periodic cell).

    Returns:
        The velocities that remain.

    Shapes:
        positions (nodes, 3), velocities (nodes, 3), masses (nodes,); result (nodes, 3).

    Units:
        positions in A, masses in atomic mass units, velocities in any unit.

    Source:
        H. Goldstein, Classical Mechanics, 2nd ed. (1980), section 5-1.
    """
    velocities = velocities - np.average(velocities, axis=0, weights=masses)
    if not rotation:
        return velocities
    arms = positions - np.average(positions, axis=0, weights=masses)
    momentum = (masses[:, None] * np.cross(arms, velocities)).sum(axis=0)
    omega = np.linalg.pinv(_inertia(arms, masses), rcond=_LINEAR, hermitian=True) @ momentum
    return velocities - np.cross(omega, arms)


def degrees_of_freedom(
    positions: Float[np.ndarray, "nodes 3"], masses: Float[np.ndarray, " nodes"], rotation: bool
) -> int:
    """Count the degrees of freedom that remain after :func:`remove_drift`: they share the kinetic energy.

    Args:
        positions: of the atoms.
        masses: of the atoms, positive.
        rotation: whether the angular momentum is removed too.

    Returns:
        3 N - 3, less 3 for a molecule that rotates freely and 2 for a linear one.

    Shapes:
        positions (nodes, 3), masses (nodes,).

    Units:
        positions in A, masses in atomic mass units; the result is a number.
    """
    total = 3 * len(masses) - 3
    if not rotation:
        return total
    arms = positions - np.average(positions, axis=0, weights=masses)
    moments = np.linalg.eigvalsh(_inertia(arms, masses))
    return total - int((moments > _LINEAR * moments.max()).sum())


# A principal moment of inertia below this fraction of the largest one counts as zero (about 0.1 degree of bending).
_LINEAR = 1e-6


def _inertia(arms: np.ndarray, masses: np.ndarray) -> np.ndarray:
    squares = (arms**2).sum(axis=1)[:, None, None] * np.eye(3)
    tensors = masses[:, None, None] * (squares - arms[:, :, None] * arms[:, None, :])  # (nodes, 3, 3)
    inertia: np.ndarray = tensors.sum(axis=0)
    return inertia
