"""Infrared intensities of normal modes, from the exact derivatives of the dipole moment."""

from __future__ import annotations

import copy

import numpy as np
import torch
from ase import Atoms, units
from jaxtyping import Float

from pyg_mpnn.md.graph_inputs import evaluate
from pyg_mpnn.md.normal_modes import NormalModes
from pyg_mpnn.models import EnergyModel
from pyg_mpnn.units import DEBYE

__all__ = ["dipole_derivatives", "infrared_intensities"]

_UNITS = {"e*A": 1.0, "D": DEBYE}
# N_A e^2 / (12 epsilon_0 c^2 u) in km/mol
_KM_PER_MOL = units._Nav * units._e**2 / (12 * units._eps0 * units._c**2 * units._amu) / 1000


def dipole_derivatives(potential: EnergyModel, atoms: Atoms) -> Float[np.ndarray, "3 nodes 3"] | None:
    r"""Derivatives of the dipole moment with respect to the positions: three passes backward, no finite steps.

    .. math:: Z_{\alpha, i\beta} = \frac{\partial \mu_\alpha}{\partial r_{i\beta}}

    In float64 on a copy of the potential, for a neutral molecule.

    Args:
        potential: the potential; its output of the name ``dipole`` counts.
        atoms: the structure.

    Returns:
        the derivatives, component of the dipole first; None where the potential gives no dipole in e A or D, or
        the structure is periodic and has none.

    Shapes:
        ``(3, nodes, 3)``.

    Units:
        e.

    Source:
        definition (the transposed atomic polar tensors); reverse-mode differentiation, torch.autograd.

    Example:
        >>> from ase.build import molecule
        >>> from pyg_mpnn import DipoleOutput, Potential
        >>> model = Potential.from_size("small", outputs={"dipole": DipoleOutput()})
        >>> dipole_derivatives(model, molecule("H2O")).shape
        (3, 3, 3)
    """
    output = potential.all_outputs().get("dipole")
    if output is None or output.unit not in _UNITS or atoms.pbc.any():
        return None
    # In training mode outputs can be differentiated.
    potential = copy.deepcopy(potential).double().train().requires_grad_(False)
    z = torch.tensor(atoms.numbers, dtype=torch.long, device=potential.device)
    pos = torch.tensor(atoms.positions, dtype=torch.float64, device=potential.device, requires_grad=True)
    with torch.enable_grad():
        dipole = evaluate(potential, atoms, z, pos, fields={}, forces=False).others["dipole"][0]
        rows = [torch.autograd.grad(component, pos, retain_graph=True)[0] for component in dipole]
    derivatives: np.ndarray = torch.stack(rows).cpu().numpy()
    return _UNITS[output.unit] * derivatives


def infrared_intensities(
    atoms: Atoms, modes: NormalModes, derivatives: Float[np.ndarray, "3 nodes 3"]
) -> Float[np.ndarray, " modes"]:
    r"""Integrated molar absorption of each fundamental, for harmonic vibrations and a linear dipole moment.

    .. math:: A_k = \frac{N_A}{12 \, \epsilon_0 c^2} \Big| \frac{\partial \mu}{\partial Q_k} \Big|^2, \qquad
              \frac{\partial \mu_\alpha}{\partial Q_k} =
              \sum_{i\beta} Z_{\alpha, i\beta} \frac{d_{k, i\beta}}{\sqrt{\sum_j m_j |d_{k, j}|^2}}

    with the displacements :math:`d_k` of the mode, the masses :math:`m_j` and so the mass-weighted normal coordinate
    :math:`Q_k`.

    Args:
        atoms: the structure; its masses count.
        modes: its normal modes.
        derivatives: of the dipole moment, as :func:`dipole_derivatives` gives them.

    Returns:
        the intensities, in the order of the modes.

    Shapes:
        ``derivatives`` ``(3, nodes, 3)``; result ``(modes,)``.

    Units:
        e in, km/mol out.

    Source:
        D. Porezag and M. R. Pederson, Phys. Rev. B 54, 7830 (1996), whose 42.255 km/mol are 1 D^2/A^2/u.

    Example:
        >>> import numpy as np
        >>> atoms = Atoms("HCl", [[0, 0, 0], [0, 0, 1.27]])
        >>> along = np.array([[[0, 0, 1.0], [0, 0, -0.028]]]) / np.hypot(1, 0.028)
        >>> modes = NormalModes(np.array([0.36]), along, 5, 0.0, 0.0)
        >>> charges = 0.2 * np.stack([np.eye(3), -np.eye(3)], axis=1)  # of +-0.2 e that move with the atoms
        >>> infrared_intensities(atoms, modes, charges).round(1)
        array([39.8])
    """
    weights = (atoms.get_masses() * (modes.displacements**2).sum(axis=2)).sum(axis=1)
    change = np.einsum("aib,kib->ka", derivatives, modes.displacements)
    intensities: np.ndarray = _KM_PER_MOL * (change**2).sum(axis=1) / weights
    return intensities
