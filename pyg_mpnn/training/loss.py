"""What the training minimises."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch_geometric.data import Batch

from pyg_mpnn.models import PotentialOutput
from pyg_mpnn.models.outputs import Output
from pyg_mpnn.models.outputs import Penalty as Penalty


class LossTerms(NamedTuple):
    """Mean penalties of errors in units of the force scale; zero for what is not known."""

    forces: Float[Tensor, ""]
    energy: Float[Tensor, ""]
    stress: Float[Tensor, ""]


def count_terms(batch: Batch) -> LossTerms:
    """What the three means of :func:`loss_terms` are taken over.

    Args:
        batch: Structures with ``energy``, ``forces`` and ``stress`` as far as they are known (NaN where not).

    Returns:
        Numbers of known force components, energies, and stress components, in float64.

    Shapes:
        scalars.

    Units:
        none.
    """
    return LossTerms(*(count_known(batch, name) for name in LossTerms._fields))


def count_known(batch: Batch, name: str) -> Tensor:
    """Number of known components of a label.

    Args:
        batch: Structures; the label is NaN where it is unknown.
        name: Field of the label; it may be absent.

    Returns:
        The number, float64.

    Shapes:
        a scalar.
    """
    if name not in batch:
        return torch.zeros((), dtype=torch.float64, device=batch.pos.device)
    return (~torch.isnan(batch[name])).sum().double()


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

    over known force components, energies, and stress components, where the penalties of a structure count
    ``batch.weight`` times if there is one (the mean is not divided by the weights: 2 pulls twice as hard, 0 leaves the
    structure out, and all doubled doubles the loss); N is the number of atoms of a structure, V its
    volume, s the root mean square force component of the training data (times 1 A for energies). The penalty
    :math:`\ell(x)` is :math:`x^2` ("mse"), :math:`|x|` ("l1"), or "huber": :math:`x^2` up to :math:`|x| = \delta` and
    the straight line :math:`2 \delta |x| - \delta^2` from there on. The energy difference is taken in float64 and cast
    afterwards: total energies of -17,000 eV have a spacing of 2 meV in float32.

    Args:
        output: What the potential returned.
        batch: The structures with ``energy``, ``forces`` and ``stress`` as far as they are known (NaN where not), and
            perhaps ``weight``.
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
    dtype = output.atom_energies.dtype if output.forces is None else output.forces.dtype
    number = LossTerms(*(count.clamp(min=1).to(dtype) for count in counts or count_terms(batch)))
    num_atoms = (batch.ptr[1:] - batch.ptr[:-1]).clamp(min=1)
    weight = batch.weight.to(dtype) if "weight" in batch and weighted else torch.ones_like(num_atoms, dtype=dtype)
    zero = output.energy.new_zeros((), dtype=dtype)
    energy, forces, stress = zero, zero, zero
    if "energy" in batch:
        error = _known(output.energy, batch.energy.double()) / (num_atoms * scale)
        energy = (weight * _penalize(error.to(dtype), penalty, delta)).sum() / number.energy
    if "forces" in batch and output.forces is not None:
        force_penalty = _penalize(_known(output.forces, batch.forces) / scale, penalty, delta)
        forces = (weight[batch.batch, None] * force_penalty).sum() / number.forces
    if output.stress is not None:
        volume_per_atom = torch.linalg.det(batch.cell).abs() / num_atoms  # (graphs,)
        virial = _known(output.stress, batch.stress) * (volume_per_atom / scale)[:, None, None]
        stress = (weight[:, None, None] * _penalize(virial, penalty, delta)).sum().to(dtype) / number.stress
    return LossTerms(forces, energy, stress)


def output_losses(
    predicted: PotentialOutput,
    batch: Batch,
    outputs: Mapping[str, Output],
    spreads: Mapping[str, float],
    *,
    delta: float = 0.1,
    counts: Mapping[str, Tensor] | None = None,
    weighted: bool = True,
) -> dict[str, Tensor]:
    r"""Mean penalties of the errors of the other outputs, made dimensionless.

    .. math:: L_o = \Big\langle w \, \ell_o\big(\tfrac{\hat y - y}{s_o}\big) \Big\rangle

    over known components, with the weight w of a structure (1 where it has none), the penalty of the output and the
    spread :math:`s_o` of its references, all in float64.

    Args:
        predicted: What the model returned.
        batch: The structures, with a field of the name of each output, NaN where unknown, or without it.
        outputs: The outputs by name.
        spreads: The number s of each.
        delta: Where the Huber penalty becomes a straight line, positive.
        counts: What the sums are divided by, where ``batch`` is a part of the structures that the means are over.
        weighted: Whether ``batch.weight`` counts.

    Returns:
        The terms by name, differentiable.

    Shapes:
        scalars.

    Units:
        none; ``spreads`` in the units of the outputs.

    Source:
        own design.
    """
    terms = {}
    for name, output in outputs.items():
        values = predicted.others[name]
        if name not in batch:
            terms[name] = values.new_zeros(())
            continue
        penalties = _penalize(_known(values, batch[name].double()) / spreads[name], output.loss, delta)
        if weighted and "weight" in batch:
            weight = batch.weight if output.level == "structure" else batch.weight[batch.batch]
            penalties = penalties * weight.double().view(-1, *[1] * len(output.shape))
        number = count_known(batch, name) if counts is None else counts[name]
        terms[name] = penalties.sum() / number.clamp(min=1)
    return terms


def _known(values: Tensor, references: Tensor) -> Tensor:
    """Differences, zero where the reference is not known."""
    known = ~torch.isnan(references)
    return torch.where(known, values - references, 0.0)


def _penalize(error: Tensor, penalty: Penalty, delta: float) -> Tensor:
    if penalty == "mse":
        return error.square()
    if penalty == "l1":
        return error.abs()
    return 2 * torch.nn.functional.huber_loss(error, torch.zeros_like(error), reduction="none", delta=delta)
