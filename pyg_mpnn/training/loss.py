"""What the training minimises."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch_geometric.data import Batch

from pyg_mpnn.models import PotentialOutput


class LossTerms(NamedTuple):
    """Mean squared errors in units of the force scale; ``stress`` is zero where no stress is known."""

    forces: Float[Tensor, ""]
    energy: Float[Tensor, ""]
    stress: Float[Tensor, ""]


def loss_terms(output: PotentialOutput, batch: Batch, scale: float) -> LossTerms:
    r"""Mean squared errors of forces, energy per atom and virial per atom, made dimensionless.

    .. math::
        L_F = \Big\langle \big(\tfrac{\hat F - F}{s}\big)^2 \Big\rangle, \quad
        L_E = \Big\langle \big(\tfrac{\hat E - E}{N s}\big)^2 \Big\rangle, \quad
        L_W = \Big\langle \big(\tfrac{V (\hat\sigma - \sigma)}{N s}\big)^2 \Big\rangle

    over force components, structures, and known stress components, where the squares of a structure count
    ``batch.weight`` times if there is one (the mean is not divided by the weights: 2 pulls twice as hard, 0 leaves the
    structure out, and all doubled doubles the loss); N is the number of atoms of a structure, V its
    volume, s the root mean square force component of the training data (times 1 A for energies). The energy difference
    is taken in float64 and cast afterwards: total energies of -17,000 eV have a spacing of 2 meV in float32.

    Args:
        output: What the potential returned.
        batch: The structures with ``energy``, ``forces`` and, where known, ``stress`` (NaN where unknown)
            and ``weight``.
        scale: The number s.

    Returns:
        The three terms, differentiable.

    Shapes:
        scalars.

    Units:
        none; ``scale`` in eV/A.

    Source:
        own design; the virial per atom V sigma / N is used because it has the unit of the energy per atom.
    """
    assert output.forces is not None
    dtype = output.forces.dtype
    num_atoms = (batch.ptr[1:] - batch.ptr[:-1]).clamp(min=1)
    energy_error = (output.energy - batch.energy.to(torch.float64)) / (num_atoms * scale)
    weight = batch.weight.to(dtype) if "weight" in batch else torch.ones_like(energy_error, dtype=dtype)  # (graphs,)
    energy = (weight * energy_error.to(dtype).square()).mean()
    squared_forces = ((output.forces - batch.forces) / scale).square()
    forces = (weight[batch.batch, None] * squared_forces).mean() if len(batch.forces) else energy * 0
    if output.stress is None:
        return LossTerms(forces, energy, torch.zeros_like(energy))
    known = ~torch.isnan(batch.stress)
    volume_per_atom = torch.linalg.det(batch.cell).abs() / num_atoms  # (graphs,)
    virial_error = (output.stress - batch.stress) * (volume_per_atom / scale)[:, None, None]
    squared = weight[:, None, None] * torch.where(known, virial_error, 0.0).square()
    return LossTerms(forces, energy, (squared.sum() / known.sum().clamp(min=1)).to(dtype))
