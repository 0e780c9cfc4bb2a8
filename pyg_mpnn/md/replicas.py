"""Many copies of a dynamics in one graph: each runs ASE's integrator of its own, all share the calls of the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock, Thread
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from pyg_mpnn.geometry import SkinList
from pyg_mpnn.md.calculator import PotentialCalculator, check_atoms
from pyg_mpnn.md.graph_inputs import evaluate
from pyg_mpnn.models import EnergyModel

__all__ = ["Batch", "ReplicaCalculator", "run_in_turn"]


class Batch:
    r"""Energy and forces of copies of one structure from one call of the model.

    .. math:: E = \sum_r E_r(\mathbf{r}_r), \qquad \mathbf{F}_{ri} = -\frac{\partial E}{\partial \mathbf{r}_{ri}}

    Copies are separate structures of one batch, so they do not feel each other. The neighbour list is searched anew
    when an atom of any copy has moved half the skin.

    Args:
        potential: in evaluation mode, on its device, with its dtype.
        atoms: the structure.
        count: number of copies.
        skin: what the neighbour list holds beyond the cutoff, in A.
        stress: whether the stress is computed too.

    Units:
        eV, eV/A, eV/A^3.
    """

    def __init__(self, potential: EnergyModel, atoms: Atoms, count: int, *, skin: float = 0.5, stress: bool) -> None:
        self.potential, self.count, self.size, self.stress = potential, count, len(atoms), stress
        device = potential.device
        self.numbers = torch.tensor(np.tile(atoms.numbers, count), dtype=torch.long, device=device)
        self.index = torch.arange(count, device=device).repeat_interleave(self.size)
        self.pbc = torch.tensor(atoms.pbc, device=device).expand(count, 3) if atoms.pbc.any() else None
        self.skin_list = SkinList(potential.cutoff, skin=skin)

    def __call__(self, copies: Sequence[Atoms]) -> list[dict[str, Any]]:
        """Evaluate all copies.

        Args:
            copies: the structures.

        Returns:
            The results of each, by ASE's names.
        """
        device = self.potential.device
        pos = torch.tensor(np.concatenate([of.positions for of in copies]), device=device)
        fields, cell = {}, None
        if self.pbc is not None:
            cell = torch.tensor(np.stack([of.cell.array for of in copies]), device=device)
            fields = {"cell": cell, "pbc": self.pbc}
        edge_index, shifts = self.skin_list(pos, cell, self.pbc, self.index)
        with torch.no_grad():
            output = evaluate(
                self.potential,
                copies[0],
                self.numbers,
                pos,
                fields={**fields, "batch": self.index, "edge_index": edge_index, "shifts": shifts},
                copies=self.count,
                forces=True,
                stress=self.stress,
                outputs=False,
            )
        energies = output.energy.tolist()
        forces = output.forces.cpu().double().numpy().reshape(self.count, self.size, 3)
        results: list[dict[str, Any]] = [
            {"energy": energy, "free_energy": energy, "forces": force}
            for energy, force in zip(energies, forces, strict=True)
        ]
        if self.stress:
            for result, stress in zip(results, output.stress.cpu().double().numpy(), strict=True):
                result["stress"] = full_3x3_to_voigt_6_stress(stress)
        return results


class ReplicaCalculator(Calculator):
    """The calculator of one copy: it asks, and waits until all copies have asked.

    Args:
        ask: takes the structure and returns its results.
    """

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012 (ASE's types)
    check_state = PotentialCalculator.check_state
    _read = ()  # numbers of the whole do not change in a dynamics

    def __init__(self, ask: Callable[[Atoms], dict[str, Any]]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.ask = ask

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Ask; ASE calls this when a result is not at hand.

        Args:
            atoms: the structure.
            properties: not used: all come together.
            system_changes: not used.
        """
        assert atoms is not None
        self.atoms = atoms.copy()
        self.results = {}
        check_atoms(self.atoms, "stress" in properties)
        self.results = self.ask(self.atoms)


def run_in_turn(
    tasks: Sequence[Callable[[Callable[[Any], Any]], None]], answer: Callable[[list[Any]], Sequence[Any]]
) -> None:
    """Run tasks one after the other, each until it asks something; answer when all have asked; go on so to the end.

    Each task has a thread of its own, which is its place to wait: only one runs at any time, and the answers are found
    in the thread of the caller. All tasks must ask equally often. An error in one ends all.

    Args:
        tasks: functions that take the function by which they ask.
        answer: takes what all asked, in the order of the tasks, and returns the answers.

    Raises:
        Exception: what a task or ``answer`` raises.

    Example:
        >>> sums = []
        >>> def task(ask):
        ...     sums.append(ask(1) + ask(2))
        >>> run_in_turn([task, task], lambda asked: [10 * sum(asked)] * 2)
        >>> sums
        [60, 60]
    """
    turns = [_Turn(task) for task in tasks]
    try:
        answers: Sequence[Any] = [None] * len(turns)
        while turns[0].runs:
            for turn, value in zip(turns, answers, strict=True):
                turn.proceed(value)
            if any(turn.runs != turns[0].runs for turn in turns):
                raise RuntimeError("tasks that run in turn must ask equally often")
            if turns[0].runs:
                answers = answer([turn.question for turn in turns])
    finally:
        for turn in turns:
            turn.stop()


class _Stopped(BaseException):
    """Ends a task that waits for an answer which will not come."""


class _Turn(Thread):
    """A task that runs until it asks."""

    def __init__(self, task: Callable[[Callable[[Any], Any]], None]) -> None:
        super().__init__(daemon=True)
        self.task, self.runs, self.ends = task, True, False
        self.question: Any = None
        self.answer: Any = None
        self.error: BaseException | None = None
        self._go, self._back = Lock(), Lock()  # held by who waits: a lock may be released by another thread
        self._go.acquire()
        self._back.acquire()
        self.start()

    def run(self) -> None:
        self._go.acquire()
        try:
            if not self.ends:
                self.task(self.ask)
        except BaseException as error:  # handed to the thread that waits, and raised there
            self.error = error
        self.runs = False
        self._back.release()

    def ask(self, question: Any) -> Any:
        self.question = question
        self._back.release()
        self._go.acquire()
        if self.ends:
            raise _Stopped
        return self.answer

    def proceed(self, answer: Any) -> None:
        self.answer = answer
        self._go.release()
        self._back.acquire()
        if self.error is not None:
            raise self.error

    def stop(self) -> None:
        if self.runs:
            self.ends = True
            self._go.release()
        self.join()
