"""One dynamics: a structure with velocities, ASE's integrator, its record, and its state."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from pyg_mpnn.md.integrators import Conditions
from pyg_mpnn.md.recorder import DynamicsLog, Recorder
from pyg_mpnn.md.resumption import StateFile, restore_state, take_state
from pyg_mpnn.md.velocities import start_velocities

__all__ = ["Run"]


class Run:
    """One dynamics from its first step, or from a state.

    Args:
        atoms: the structure, which is copied.
        conditions: ensemble and what belongs to it.
        seed: of the velocities and of the thermostat.
        drawn: whether velocities are drawn, or those of the structure kept.
    """

    def __init__(self, atoms: Atoms, conditions: Conditions, seed: int, *, drawn: bool = True) -> None:
        self.atoms, self.conditions = atoms.copy(), conditions
        self.rng = np.random.default_rng(seed)
        whole = conditions.thermalises_the_whole
        found = start_velocities(self.atoms, conditions.temperature, self.rng, drawn=drawn, whole=whole)
        self.degrees_of_freedom, self.taken_out_eV = found
        self.dynamics = conditions.build(self.atoms, self.degrees_of_freedom, self.rng)
        self.recorder: Recorder | None = None
        self.watch: Callable[[], None] | None = None

    def restore(self, state: dict[str, Any], step: int) -> None:
        """Go back to a state.

        Args:
            state: as kept in a file.
            step: that was the last one.
        """
        restore_state(self.dynamics, self.rng, state, step)

    def record(
        self,
        folder: Path,
        *,
        notes: dict[str, Any] | None = None,
        look: Callable[[int, float], None] = lambda step, time: None,
        **intervals: int,
    ) -> Recorder:
        """Open the files of the record.

        Args:
            folder: for them.
            notes: kept with the state that it goes on from.
            look: called with step and time in fs at each line where the cell moves.
            **intervals: of the :class:`Recorder`.

        Returns:
            The recorder.
        """
        folder.mkdir(parents=True, exist_ok=True)
        of, dynamics = self.conditions, self.dynamics
        conserved = of.integrator.conserved
        self.recorder = Recorder(
            self.atoms,
            folder,
            of.timestep,
            of.temperature,
            self.degrees_of_freedom,
            conserved=None if conserved is None or of.integrator.ensemble == "nve" else lambda: conserved(dynamics),
            axes=of.axes if of.needs_stress else None,
            step=None if notes is None else _next_step(dynamics.nsteps),
            bond_changes=None if notes is None else notes["bond_changes"],
            look=look,
            **intervals,
        )
        return self.recorder

    def log(self) -> DynamicsLog:
        """What was logged."""
        assert self.recorder is not None
        return self.recorder.log()

    def close(self) -> None:
        """Close the files of the record, and say where what was computed again came out otherwise."""
        if self.recorder is None:
            return
        self.recorder.__exit__()
        if self.recorder.differing:
            print(
                f"Note: {self.recorder.differing} lines of {self.recorder.out / 'log.csv'} behind the state that it "
                "went on from came out otherwise when computed again (another machine, number of threads, or torch)"
            )

    def advance(
        self, calculator: Calculator, states: StateFile, number: int, tick: Callable[[int], None] = lambda step: None
    ) -> None:
        """Run to the last step of the states.

        Args:
            calculator: energies, forces and, where the cell moves, stress.
            states: where the state is kept from time to time.
            number: of this run among its copies.
            tick: called with each step.
        """
        recorder, dynamics = self.recorder, self.dynamics
        assert recorder is not None
        self.atoms.calc = calculator
        dynamics.attach(recorder)
        if self.watch is not None:
            dynamics.attach(self.watch)

        def keep() -> None:
            if states.due(dynamics.nsteps):
                notes = {"bond_changes": recorder.bond_changes}
                states.keep(number, dynamics.nsteps, take_state(dynamics, self.rng), notes)
            tick(dynamics.nsteps)

        dynamics.attach(keep)
        dynamics.run(states.steps - dynamics.nsteps)


def _next_step(done: int) -> int:
    """Of the next call of an observer: ASE calls it before the first step too."""
    return done + 1 if done else 0
