"""Molecular dynamics with ASE, as a piece of work that can be repeated."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.speed.peers.work import Work

STEPS = 20  # of a call; random weights drive the atoms apart, so that every call starts anew
TIMESTEP = 0.5  # fs
TEMPERATURE = 300.0  # K


class Dynamics:
    """Velocity Verlet from the same start in every call.

    Args:
        calculator: ASE calculator, with a neighbour list of its own.
        work: where the atoms start.
    """

    def __init__(self, calculator: Any, work: Work) -> None:
        from ase import Atoms, units
        from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
        from ase.md.verlet import VelocityVerlet

        self.atoms = Atoms(work.z.numpy(), work.pos.numpy().astype(float), calculator=calculator, info={"charge": 0.0})
        MaxwellBoltzmannDistribution(self.atoms, temperature_K=TEMPERATURE, rng=np.random.default_rng(0))
        self.start = self.atoms.positions.copy(), self.atoms.get_velocities()
        self.dynamics = VelocityVerlet(self.atoms, TIMESTEP * units.fs)

    def __call__(self) -> None:
        """STEPS steps, and the first forces."""
        self.atoms.positions, velocities = self.start
        self.atoms.set_velocities(velocities)
        self.dynamics.run(STEPS)
        if not np.isfinite(self.atoms.positions).all():
            raise AssertionError("dynamics left finite positions")
