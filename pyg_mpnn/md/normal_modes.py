"""Normal modes of vibration from a Hessian, freed of translations and rotations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms, units
from jaxtyping import Bool, Float

__all__ = ["NormalModes", "normal_modes"]

# sqrt(eV/A^2/u) as the energy of a quantum in eV
_QUANTUM = units._hbar * 1e10 / np.sqrt(units._e * units._amu)


@dataclass(frozen=True)
class NormalModes:
    """Frequencies and displacements of the vibrations, and how well the motions of the whole separate from them.

    Args:
        energies: of one quantum of each vibration in eV, ascending; imaginary ones are negative.
        displacements: of the atoms in each vibration, Cartesian, normalised to 1, ``(modes, atoms, 3)``.
        num_whole: number of translations and rotations that were projected out.
        whole_cm: largest frequency in cm^-1 that these would have had without projection, zero at a minimum of an exact
            potential; a rotation has one where there are forces. 0 where coordinates are fixed.
        asymmetry: largest difference of the Hessian from its transpose, in eV/A^2.
    """

    energies: np.ndarray
    displacements: np.ndarray
    num_whole: int
    whole_cm: float
    asymmetry: float

    @property
    def frequencies_cm(self) -> np.ndarray:
        """Frequencies in cm^-1, ascending; imaginary ones are negative."""
        frequencies: np.ndarray = self.energies / units.invcm
        return frequencies

    @property
    def num_imaginary(self) -> int:
        """Number of imaginary frequencies: directions in which the energy falls."""
        return int((self.energies < 0).sum())

    @property
    def zero_point_energy(self) -> float:
        """Half a quantum of each real vibration, in eV; imaginary ones have none."""
        return float(0.5 * self.energies[self.energies > 0].sum())


def normal_modes(
    atoms: Atoms, hessian: Float[np.ndarray, "nodes 3 nodes 3"], free: Bool[np.ndarray, "nodes 3"] | None = None
) -> NormalModes:
    r"""Diagonalise the mass-weighted Hessian in the space of the vibrations.

    .. math:: D = P \, M^{-1/2} \, \tfrac{1}{2} (H + H^T) \, M^{-1/2} P, \qquad D u_k = \omega_k^2 u_k

    with the masses :math:`M` and the projector :math:`P` on what is neither a translation nor, for a molecule, a
    rotation about the centre of mass (two of them where it is linear). In a structure with periodic directions only
    translations are projected out, and the modes are those at Gamma. Where coordinates are fixed the modes are those
    of the others, and nothing is projected out: what is fixed holds the whole.

    Args:
        atoms: the structure; its masses count.
        hessian: second derivatives of the energy, in eV/A^2.
        free: which coordinates move; all where None.

    Returns:
        The modes.

    Shapes:
        ``hessian`` ``(nodes, 3, nodes, 3)``, ``free`` ``(nodes, 3)``.

    Units:
        eV/A^2 in, eV and cm^-1 out.

    Source:
        E. B. Wilson, J. C. Decius and P. C. Cross, Molecular Vibrations (1955), chapter 2.

    Example:
        >>> import numpy as np
        >>> from ase import Atoms
        >>> k = np.kron([[1.0, -1.0], [-1.0, 1.0]], np.diag([0.0, 0.0, 36.0]))  # H2: 36 eV/A^2 along the bond
        >>> normal_modes(Atoms("H2", [[0, 0, 0], [0, 0, 0.74]]), k.reshape(2, 3, 2, 3)).frequencies_cm.round()
        array([4407.])
    """
    matrix = hessian.reshape(3 * len(atoms), 3 * len(atoms))
    roots = np.repeat(np.sqrt(atoms.get_masses()), 3)
    weighted = 0.5 * (matrix + matrix.T) / np.outer(roots, roots)
    if free is None or free.all():
        whole = _whole_motions(atoms)
        # the full set of left singular vectors: first the motions of the whole, then what is orthogonal to them
        inside = np.linalg.svd(whole.T, full_matrices=True)[0][:, len(whole) :]
    else:
        whole, inside = np.zeros((0, len(roots))), np.eye(len(roots))[:, free.reshape(-1)]
    values, vectors = np.linalg.eigh(inside.T @ weighted @ inside)
    displacements = (inside @ vectors).T / roots
    displacements /= np.linalg.norm(displacements, axis=1, keepdims=True)
    of_whole = np.linalg.eigvalsh(whole @ weighted @ whole.T)
    return NormalModes(
        energies=_quanta(values),
        displacements=displacements.reshape(-1, len(atoms), 3),
        num_whole=len(whole),
        whole_cm=float(np.abs(_quanta(of_whole)).max(initial=0.0) / units.invcm),
        asymmetry=float(np.abs(matrix - matrix.T).max()),
    )


def _quanta(values: np.ndarray) -> np.ndarray:
    quanta: np.ndarray = np.sign(values) * np.sqrt(np.abs(values)) * _QUANTUM
    return quanta


def _whole_motions(atoms: Atoms) -> np.ndarray:
    """Mass-weighted orthonormal translations and, for a molecule, rotations, ``(motions, 3 atoms)``."""
    roots = np.sqrt(atoms.get_masses())
    motions = [np.outer(roots, axis).reshape(-1) for axis in np.eye(3)]
    if not atoms.pbc.any():
        arms = atoms.positions - atoms.get_center_of_mass()
        motions += [(roots[:, None] * np.cross(axis, arms)).reshape(-1) for axis in np.eye(3)]
    _, sizes, basis = np.linalg.svd(np.array(motions), full_matrices=False)
    # A linear molecule has no rotation about its axis. 1e-4: of a bend of 1e-4 A a molecule is still linear.
    found: np.ndarray = basis[sizes > 1e-4 * sizes[0]]
    return found
