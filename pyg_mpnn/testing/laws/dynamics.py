"""The law of dynamics: the energy is conserved."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_mpnn.testing.law import law
from pyg_mpnn.testing.probes import scales
from pyg_mpnn.testing.result import Check
from pyg_mpnn.testing.subject import Subject

_UNIT = 0.09822694788464063  # fs to sqrt(u A^2 / eV)
_THERMAL = 0.025852  # eV at 300 K
_STEPS = 16


@law()
def nve(subject: Subject, structures: Sequence[Data]) -> list[Check]:
    r"""The total energy is conserved in dynamics, in the limit of small steps.

    Velocity Verlet runs the same time with steps h, h/2 and h/4. The error of a conserved energy is even in h, so
    :math:`(64 E_{h/4} - 20 E_{h/2} + E_h) / 45` has lost its terms in :math:`h^2` and :math:`h^4`, and what is left is
    the work of forces that are not those of the energy, or of jumps.
    """
    scales(subject, structures)
    structure = structures[0]
    mass = (2.0 * structure.z.double()).clamp(min=2.0)[:, None] - (structure.z == 1).double()[:, None]
    velocity = torch.randn_like(structure.pos) * (_THERMAL / mass).sqrt()
    time_step = 0.5 * _UNIT
    for _ in range(8):
        coarse = _run(subject, structure, velocity, mass, time_step, 1)
        kinetic = float(0.5 * (mass * velocity.square()).sum())
        if float((coarse - coarse[0]).abs().max()) < 0.01 * kinetic:
            break
        time_step *= 0.5
    else:
        raise ValueError(f"the energy must be conserved to 1 % of the kinetic one at some time step, got {coarse}")
    medium = _run(subject, structure, velocity, mass, time_step / 2, 2)
    fine = _run(subject, structure, velocity, mass, time_step / 4, 4)
    limit = (64 * fine - 20 * medium + coarse) / 45
    error = float((limit - limit[0]).abs().max())
    relative = {torch.float64: 1e-4, torch.float32: 1e-2}[subject.dtype]
    why = f"{relative:.0e} of the kinetic energy: what the limit of small steps leaves over {_STEPS} steps"
    return [Check(f"change of the energy in {_STEPS} steps", error, "eV", relative * kinetic, why)]


def _run(subject: Subject, structure: Data, velocity: Tensor, mass: Tensor, time_step: float, every: int) -> Tensor:
    """Total energies at the same times for every time step."""
    moved = structure.clone()
    energy, forces, _ = subject.evaluate(moved)
    start, totals = energy[0], []
    for step in range(_STEPS * every + 1):
        if step % every == 0:
            totals.append((energy[0] - start) + 0.5 * (mass * velocity.square()).sum())
        half = velocity + 0.5 * time_step * forces / mass
        moved.pos = moved.pos + time_step * half
        energy, forces, _ = subject.evaluate(moved)
        velocity = half + 0.5 * time_step * forces / mass
    return torch.stack(totals)
