"""Laws of derivatives: forces and stress are those of the energy, and can be trained."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_mpnn.testing.law import law
from pyg_mpnn.testing.probes import crystal, opened, rattled, scales, worst
from pyg_mpnn.testing.result import Check
from pyg_mpnn.testing.subject import Subject

# Differences of fourth order: the step leaves about step^4 of truncation and rounding / step of noise.
_STEP = {torch.float64: 1e-3, torch.float32: 3e-2}
_ALLOWED = {torch.float64: 1e-6, torch.float32: 2e-2}
_WHY = "finite differences of fourth order: {:.0e} of the "


def slope(function: Callable[[float], float], step: float) -> float:
    """Derivative at zero by central differences of fourth order.

    Args:
        function: of one number.
        step: distance of the points.

    Returns:
        the derivative.
    """
    near, far = function(step) - function(-step), function(2 * step) - function(-2 * step)
    return (8 * near - far) / (12 * step)


@law()
def forces(subject: Subject, structures: Sequence[Data]) -> list[Check]:
    r"""Forces are minus the gradient of the energy, along random directions and along single coordinates."""
    scale, checks = scales(subject, structures), []
    step, relative = _STEP[subject.dtype], _ALLOWED[subject.dtype]
    for structure in structures:
        given = subject.evaluate(structure).forces
        moves = [torch.randn_like(structure.pos) for _ in range(2)]
        for atom in torch.randperm(len(structure.z))[:2].tolist():
            moves.append(torch.zeros_like(structure.pos))
            moves[-1][atom] = torch.randn(3, dtype=torch.float64)
        for move in moves:
            unit = move / move.norm()

            def energy(size: float, structure: Data = structure, unit: Tensor = unit) -> float:
                moved = structure.clone()
                moved.pos = structure.pos + size * unit
                return float(subject.evaluate(moved).energy)

            error = abs(slope(energy, step) + float((given * unit).sum()))
            checks.append(Check("force", error, "eV/A", relative * scale.force, _WHY.format(relative) + "RMS force"))
    return checks


@law("periodic", "stress", "cutoff")
def stress(subject: Subject, structures: Sequence[Data]) -> list[Check]:
    """Stress is the derivative of the energy by strain over the volume, with ASE's sign, and symmetric."""
    probe = rattled(crystal(structures, subject.cutoffs[-1]), 0.03, seed=3)
    given = subject.evaluate(probe, stress=True).stress
    assert given is not None
    size = float(given[0].square().mean().sqrt())
    if not size > 0.0:
        raise ValueError("the stress must not be zero to judge by, got zeros: give a structure with interacting atoms")
    step, relative = 0.2 * _STEP[subject.dtype], _ALLOWED[subject.dtype]
    volume, why = float(torch.linalg.det(probe.cell[0]).abs()), _WHY.format(relative) + "RMS component"
    checks = [Check("asymmetry", worst(given[0] - given[0].T), "eV/A^3", relative * size, why)]
    for row, column in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)):
        strain = torch.zeros(3, 3, dtype=torch.float64)
        strain[row, column] += 0.5
        strain[column, row] += 0.5

        def energy(size: float, strain: Tensor = strain) -> float:
            deformed = probe.clone()
            matrix = torch.eye(3, dtype=torch.float64) + size * strain
            deformed.pos, deformed.cell = probe.pos @ matrix, probe.cell @ matrix
            return float(subject.evaluate(deformed).energy)

        error = abs(slope(energy, step) / volume - float((given[0] * strain).sum()))
        checks.append(Check(f"stress {'xyz'[row]}{'xyz'[column]}", error, "eV/A^3", relative * size, why))
    return checks


@law()
def momentum(subject: Subject, structures: Sequence[Data]) -> list[Check]:
    """The forces of a structure sum to zero."""
    scale = scales(subject, structures)
    checks = []
    for structure in structures:
        given = subject.evaluate(structure).forces
        relative = {torch.float64: 1e-10, torch.float32: 1e-4}[subject.dtype]
        allowed = relative * max(float(given.abs().sum()), scale.force)
        why = f"rounding: {relative:.0e} of the sum of absolute values"
        checks.append(Check("sum of forces", worst(given.sum(dim=0)), "eV/A", allowed, why))
    return checks


@law("invariance")
def torque(subject: Subject, structures: Sequence[Data]) -> list[Check]:
    """The torques of the forces of an open structure sum to zero."""
    scales(subject, structures)
    checks = []
    for structure in map(opened, structures):
        given = subject.evaluate(structure).forces
        arms = structure.pos - structure.pos.mean(dim=0)
        torques = torch.linalg.cross(arms, given)
        relative = {torch.float64: 1e-10, torch.float32: 1e-4}[subject.dtype]
        allowed = relative * float((arms.norm(dim=1) * given.norm(dim=1)).sum())
        why = f"rounding: {relative:.0e} of the sum of |r||F|"
        checks.append(Check("sum of torques", worst(torques.sum(dim=0)), "eV", allowed, why))
    return checks


@law("parameters")
def double_backward(subject: Subject, structures: Sequence[Data]) -> list[Check]:
    """The gradient of a loss on forces by the parameters equals finite differences, in training mode."""
    scales(subject, structures)
    trained = _in_training(subject)
    parameters = [parameter for parameter in trained.model.parameters() if parameter.requires_grad]
    probe = rattled(structures[0], 0.03, seed=3)  # no force is zero by symmetry
    weights = torch.randn_like(probe.pos)

    def loss() -> Tensor:
        return _force_loss(trained, probe, weights)

    value = loss()
    if not value.requires_grad:
        raise ValueError("the forces carry no graph to the parameters, so a loss on them trains nothing")
    gradients = torch.autograd.grad(value, parameters, allow_unused=True, materialize_grads=True)
    start = [parameter.detach().clone() for parameter in parameters]
    step, relative = {torch.float64: (1e-4, 1e-6), torch.float32: (3e-3, 5e-2)}[subject.dtype]
    slopes, expected = [], []
    for _ in range(3):
        moves = [torch.randn_like(item) * (item.square().mean().sqrt() + 1e-3) for item in start]

        def moved(size: float, moves: list[Tensor] = moves) -> float:
            with torch.no_grad():
                for parameter, origin, move in zip(parameters, start, moves, strict=True):
                    parameter.copy_(origin + size * move)
            return float(loss().detach())

        slopes.append(slope(moved, step))
        expected.append(sum(float((g * m).sum()) for g, m in zip(gradients, moves, strict=True)))
    size = max(abs(item) for item in slopes)
    if not size > 0.0:
        raise ValueError("the loss on forces must depend on the parameters, got a slope of zero")
    error = max(abs(found - wanted) for found, wanted in zip(slopes, expected, strict=True))
    why = _WHY.format(relative) + "largest slope"
    return [Check("gradient of a force loss", error, "eV^2/A^2", relative * size, why)]


def gradients_of_force_loss(subject: Subject, structure: Data) -> list[Tensor]:
    """Gradients of a loss on forces by the parameters, in training mode."""
    trained = _in_training(subject)
    parameters = [parameter for parameter in trained.model.parameters() if parameter.requires_grad]
    value = _force_loss(trained, structure, torch.ones_like(structure.pos))
    if not value.requires_grad:
        return []  # the law `double_backward` says so
    return list(torch.autograd.grad(value, parameters, allow_unused=True, materialize_grads=True))


def _in_training(subject: Subject) -> Subject:
    return dataclasses.replace(subject, model=copy.deepcopy(subject.model).train())


def _force_loss(subject: Subject, structure: Data, weights: Tensor) -> Tensor:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # dropout and the like draw the same numbers again
        forces = subject.evaluate(structure, differentiable=True).forces.double()
    return (forces * weights.to(forces)).sum() + 0.5 * forces.square().sum()
