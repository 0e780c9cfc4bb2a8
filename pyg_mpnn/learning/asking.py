"""Asking a teacher: what it was asked before is not asked again, and each answer is on the disk at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence

from ase import Atoms
from ase.data import chemical_symbols

from pyg_mpnn.learning.labelling import Labeller
from pyg_mpnn.learning.labels import LabelStore
from pyg_mpnn.learning.probe import judge_probe, probe_line, probe_start
from pyg_mpnn.learning.teacher import Label

_SAID_EVERY = 30.0  # s
_HOPELESS = 20  # failures from the first structure on, after which nothing more is asked


class Asking:
    """A teacher at work, what it has said, and how far it is.

    Args:
        store: Labels on the disk.
        labeller: The teacher's processes.
        say: Takes a line for the user.
        elements: Atomic numbers that structures may have.
    """

    def __init__(
        self, store: LabelStore, labeller: Labeller, say: Callable[[str], None], elements: Collection[int]
    ) -> None:
        self.store, self.labeller, self.say, self.elements = store, labeller, say, frozenset(elements)

    def __call__(self, structures: Sequence[Atoms], kind: str, number: int) -> list[Atoms]:
        """Labels of structures, in their order; those without one are set aside.

        Args:
            structures: As they are written.
            kind: What they are for, one word.
            number: Of the round.

        Returns:
            The structures that have labels, with these.

        Units:
            A, eV.

        Raises:
            ValueError: A structure has another element; or the first ones fail without exception.
            OSError: A label cannot be written.
        """
        for atoms in structures:
            new = {int(z) for z in atoms.numbers} - self.elements
            if new:
                symbols = ", ".join(chemical_symbols[z] for z in sorted(new))
                raise ValueError(f"structures must have elements of the start structures, got {symbols} too")
        waiting = [atoms for atoms in structures if not self.store.knows(atoms)]
        failed, begun = 0, time.monotonic()
        said = begun
        for done, (place, found) in enumerate(self.labeller.label(waiting), start=1):
            if isinstance(found, Label):
                self.store.add(waiting[place], found, kind, number)
            else:
                self.store.add_failure(waiting[place], found, kind, number)
                failed += 1
            if failed == done == _HOPELESS:
                raise ValueError(
                    f"'teacher' must have labels for structures, got none for the first {failed}: {found}; they are in "
                    f"{self.store.failures}"
                )
            if time.monotonic() - said > _SAID_EVERY:
                said = time.monotonic()
                rest = (said - begun) / done * (len(waiting) - done) / 60
                self.say(f"labelled {done} of {len(waiting)}, {failed} failed; {rest:.1f} min to go")
        if failed:
            self.say(
                f"{failed} of {len(waiting)} have no label: {self.store.failed[-1].info['reason']} (the last of "
                f"{self.store.failures})"
            )
        return [frame for atoms in structures if (frame := self.store.find(atoms)) is not None]

    def probe(self, start: Atoms, seed: int) -> float:
        """Refuse a teacher whose forces are not the gradient of its energy.

        Args:
            start: Structure near a minimum.
            seed: Of its displacements.

        Returns:
            Noise of the forces, of which the user is told.

        Units:
            meV/A.

        Raises:
            ValueError: As of :func:`~pyg_mpnn.learning.probe.judge_probe`, or there are no labels.
        """
        found = self(probe_start(start, seed), "probe", 0)
        line = self(probe_line(found[0]), "probe", 0) if len(found) == 2 else []
        if len(line) < 4:
            raise ValueError(
                "'teacher' must have labels for a displaced start structure, got none: "
                f"{self.store.failed[-1].info['reason']}"
            )
        noise = 1e3 * judge_probe(found[0], found[1], line)
        self.say(f"forces are the gradient of the energy; the noise of the teacher is {noise:.2g} meV/A")
        return noise
