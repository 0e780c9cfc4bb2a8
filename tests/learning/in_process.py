"""A teacher without processes, for tests that are not about these."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ase import Atoms

from pyg_mpnn.learning.labelling import Labeller
from pyg_mpnn.learning.teacher import Label, NoLabel, label


class InProcess(Labeller):
    """Labels one after the other; counts how many it was asked for."""

    asked = 0

    def label(self, structures: Sequence[Atoms]) -> Iterator[tuple[int, Label | str]]:
        self.calculator = getattr(self, "calculator", None) or self.teacher.make()
        for place, atoms in enumerate(structures):
            InProcess.asked += 1
            try:
                yield place, label(self.calculator, atoms)
            except NoLabel as error:
                self.calculator = self.teacher.make()  # as a process does
                yield place, str(error)
