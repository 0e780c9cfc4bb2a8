"""Second derivatives of the energy with respect to positions, exact."""

from __future__ import annotations

import copy

import numpy as np
import torch
from ase import Atoms
from jaxtyping import Float
from tqdm import tqdm

from pyg_mpnn.md.graph_inputs import evaluate
from pyg_mpnn.models import EnergyModel

__all__ = ["hessian"]


def hessian(potential: EnergyModel, atoms: Atoms, *, progress: bool = False) -> Float[np.ndarray, "nodes 3 nodes 3"]:
    r"""Hessian of the energy: the forces differentiated once more by automatic differentiation, no finite steps.

    .. math:: H_{i\alpha, j\beta} = \frac{\partial^2 E}{\partial r_{i\alpha} \, \partial r_{j\beta}}

    In float64 on a copy of the potential, one row after the other: the time of 3N evaluations of the forces, the memory
    of one. It is not made symmetric: how far it is from that tells the rounding error. In a crystal all images of an
    atom move together (wave vector zero, Gamma).

    Args:
        potential: the potential; it is left alone.
        atoms: the structure.
        progress: whether to show a progress bar in a terminal.

    Returns:
        derivative with respect to atom i, direction a, and atom j, direction b at ``[i, a, j, b]``.

    Shapes:
        ``(nodes, 3, nodes, 3)``.

    Units:
        eV/A^2.

    Raises:
        ValueError: the potential does not know an element, or atoms coincide.

    Source:
        definition; reverse-mode differentiation of a gradient, torch.autograd.

    Example:
        >>> from ase.build import molecule
        >>> from pyg_mpnn import Potential
        >>> hessian(Potential.from_size("small"), molecule("H2O")).shape
        (3, 3, 3, 3)
    """
    # In training mode forces can be differentiated again.
    potential = copy.deepcopy(potential).double().train().requires_grad_(False)
    device = potential.device
    z = torch.tensor(atoms.numbers, dtype=torch.long, device=device)
    pos = torch.tensor(atoms.positions, dtype=torch.float64, device=device, requires_grad=True)
    periodic = bool(atoms.pbc.any())
    cell = torch.tensor(atoms.cell.complete().array, dtype=torch.float64, device=device)[None]
    fields = {"cell": cell, "pbc": torch.tensor(atoms.pbc, device=device)[None]} if periodic else {}
    with torch.enable_grad():
        forces = evaluate(potential, atoms, z, pos, fields=fields, outputs=False).forces
        if not forces.requires_grad:  # no edges
            return np.zeros((*pos.shape, *pos.shape))
        entries = tqdm(forces.reshape(-1), unit="row", disable=None if progress else True, leave=False)
        rows = [-torch.autograd.grad(entry, pos, retain_graph=True)[0] for entry in entries]
    matrix: np.ndarray = torch.stack(rows).reshape(*pos.shape, *pos.shape).cpu().numpy()
    return matrix
