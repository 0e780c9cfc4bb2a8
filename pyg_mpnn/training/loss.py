"""What the training minimises."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch_geometric.data import Batch

from pyg_mpnn.models import PotentialOutput
from pyg_mpnn.training.metrics import references

Penalty = Literal["mse", "l1", "huber"]


class LossTerms(NamedTuple):
    """Mean penalties of errors in units of the force scale; ``stress`` is zero where no stress is known."""

    forces: Float[Tensor, ""]
    energy: Float[Tensor, ""]
    stress: Float[Tensor, ""]


def count_terms(batch: Batch) -> LossTerms:
    """What the three means of :func:`loss_terms` are taken over.

    Args:
        batch: Structures with ``energy``, ``forces`` and ``stress`` (absent or NaN where unknown).

    Returns:
        Numbers of force components, structures with an energy, and stress components, those that are known, in float64.

    Shapes:
        scalars.

    Units:
        none.
    """
    fields = ("forces", "energy", "stress")
    known = [(~batch[name].isnan()).sum() if name in batch else batch.pos.new_zeros(()) for name in fields]
    return LossTerms(*(number.double() for number in known))


def loss_terms(
    output: PotentialOutput,
    batch: Batch,
    scale: float,
    *,
    penalty: Penalty = "mse",
    delta: float = 0.1,
    counts: LossTerms | None = None,
    weighted: bool = True,
) -> LossTerms:
    r"""Mean penalties of the errors of forces, energy per atom and virial per atom, made dimensionless.

    .. math::
        L_F = \Big\langle \ell\big(\tfrac{\hat F - F}{s}\big) \Big\rangle, \quad
        L_E = \Big\langle \ell\big(\tfrac{\hat E - E}{N s}\big) \Big\rangle, \quad
        L_W = \Big\langle \ell\big(\tfrac{V (\hat\sigma - \sigma)}{N s}\big) \Big\rangle

    over the force components, structures and stress components whose references are known, where the penalties of a
    structure count ``batch.weight`` times if there is one (the mean is not divided by the weights: 2 pulls twice as
    hard, 0 leaves the structure out, and all doubled doubles the loss); N is the number of atoms of a structure, V its
    volume, s the root mean square force component of the training data (times 1 A for energies). The penalty
    :math:`\ell(x)` is :math:`x^2` ("mse"), :math:`|x|` ("l1"), or "huber": :math:`x^2` up to :math:`|x| = \delta` and
    the straight line :math:`2 \delta |x| - \delta^2` from there on. The energy difference is taken in float64 and cast
    afterwards: total energies of -17,000 eV have a spacing of 2 meV in float32.

    Args:
        output: What the potential returned.
        batch: The structures with ``energy``, ``forces`` and ``stress`` (absent or NaN where unknown) and perhaps
            ``weight``.
        scale: The number s.
        penalty: The penalty.
        delta: Where the Huber penalty becomes a straight line, positive.
        counts: What the sums are divided by, where ``batch`` is a part of the structures that the means are over:
            then the terms of all parts add up to those of the whole. Without it :func:`count_terms` of ``batch``.
        weighted: Whether ``batch.weight`` counts.

    Returns:
        The three terms, differentiable.

    Shapes:
        scalars.

    Units:
        none; ``scale`` in eV/A.

    Source:
        Huber, Ann. Math. Statist. 35, 73 (1964), times 2 so that it continues the square; the rest is own design: the
        virial per atom V sigma / N is used because it has the unit of the energy per atom.
    """
    assert output.forces is not None
    dtype = output.forces.dtype
    number = LossTerms(*(count.clamp(min=1).to(dtype) for count in counts or count_terms(batch)))
    num_atoms = (batch.ptr[1:] - batch.ptr[:-1]).clamp(min=1)
    energy_ref, forces_ref = references(batch, output.energy, output.forces)
    energy_error = _known(output.energy - energy_ref.double(), energy_ref) / (num_atoms * scale)
    weight = batch.weight.to(dtype) if "weight" in batch and weighted else torch.ones_like(energy_error, dtype=dtype)
    energy = (weight * _penalize(energy_error.to(dtype), penalty, delta)).sum() / number.energy
    force_penalty = _penalize(_known(output.forces - forces_ref, forces_ref) / scale, penalty, delta)
    forces = (weight[batch.batch, None] * force_penalty).sum() / number.forces
    if output.stress is None:
        return LossTerms(forces, energy, torch.zeros_like(energy))
    volume_per_atom = torch.linalg.det(batch.cell).abs() / num_atoms  # (graphs,)
    virial_error = (output.stress - batch.stress) * (volume_per_atom / scale)[:, None, None]
    stress = weight[:, None, None] * _penalize(_known(virial_error, batch.stress), penalty, delta)
    return LossTerms(forces, energy, stress.sum().to(dtype) / number.stress)


def _known(error: Tensor, reference: Tensor) -> Tensor:
    """Errors with zero in place of those without a reference."""
    return torch.where(reference.isnan(), 0.0, error)


def _penalize(error: Tensor, penalty: Penalty, delta: float) -> Tensor:
    if penalty == "mse":
        return error.square()
    if penalty == "l1":
        return error.abs()
    return 2 * torch.nn.functional.huber_loss(error, torch.zeros_like(error), reduction="none", delta=delta)
