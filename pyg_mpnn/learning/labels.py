"""Labels on the disk: each is written at once, and none is computed twice."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import ase.io
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from pyg_mpnn.data import to_data
from pyg_mpnn.data.fingerprint import data_hash
from pyg_mpnn.files import append_text
from pyg_mpnn.learning.teacher import Label, as_written

LABELS, FAILURES = "labels.xyz", "failures.xyz"


def digest(atoms: Atoms) -> str:
    """A name for a structure by its atoms, positions and cell.

    Args:
        atoms: the structure as it is written (:func:`~pyg_mpnn.learning.teacher.as_written`).

    Returns:
        16 hexadecimal digits.
    """
    plain = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    return data_hash([to_data(plain)])[:16]


class LabelStore:
    """The labels of a run: labels.xyz, and failures.xyz with the structures that have none and why.

    Both are extended XYZ and only ever grow. In ``info`` of each frame are its ``digest``, ``config_type`` (what it was
    made for) and ``round``; of a failure also its ``reason``.

    Args:
        folder: where they are.

    Units:
        A, eV, eV/A, eV/A^3.
    """

    def __init__(self, folder: Path) -> None:
        self.labels, self.failures = folder / LABELS, folder / FAILURES
        self._frames = list(_read(self.labels))
        self._failed = list(_read(self.failures))
        self._known = {frame.info["digest"]: frame for frame in (*self._frames, *self._failed)}

    def __len__(self) -> int:
        """Number of labels."""
        return len(self._frames)

    @property
    def failed(self) -> Sequence[Atoms]:
        """Structures without a label."""
        return self._failed

    def knows(self, atoms: Atoms) -> bool:
        """Whether the teacher was asked for this structure already, whatever came of it."""
        return digest(atoms) in self._known

    def find(self, atoms: Atoms) -> Atoms | None:
        """The label of a structure.

        Args:
            atoms: the structure as it is written.

        Returns:
            it with its label; None where it has none.
        """
        found = self._known.get(digest(atoms))
        return None if found is None or "reason" in found.info else found

    def frames(self, kinds: Collection[str] | None = None, number: int | None = None) -> list[Atoms]:
        """Labelled structures in the order in which they came.

        Args:
            kinds: those of these kinds; of all without it.
            number: those of this round; of all without it.

        Returns:
            structures with energy and forces in their calculator.
        """
        return [
            frame
            for frame in self._frames
            if (kinds is None or frame.info["config_type"] in kinds) and number in (None, frame.info["round"])
        ]

    def add(self, atoms: Atoms, found: Label, kind: str, number: int) -> None:
        """Keep a label.

        Args:
            atoms: the structure.
            found: what the teacher says.
            kind: what it is for, one word.
            number: of the round.

        Raises:
            OSError: it cannot be written, for instance because the disk is full.
        """
        frame = self._frame(atoms, kind, number)
        results = {"energy": found.energy, "forces": found.forces}
        if found.stress is not None:
            results["stress"] = found.stress
        frame.calc = SinglePointCalculator(frame, **results)
        self._frames.append(_append(self.labels, frame))
        self._known[frame.info["digest"]] = self._frames[-1]

    def add_failure(self, atoms: Atoms, reason: str, kind: str, number: int) -> None:
        """Keep a structure for which the teacher has no label.

        Args:
            atoms: the structure.
            reason: why there is none.
            kind: what it was for.
            number: of the round.

        Raises:
            OSError: it cannot be written.
        """
        frame = self._frame(atoms, kind, number)
        frame.info["reason"] = reason.replace('"', "'").replace("\\", "/")
        self._failed.append(_append(self.failures, frame))
        self._known[frame.info["digest"]] = self._failed[-1]

    def _frame(self, atoms: Atoms, kind: str, number: int) -> Atoms:
        frame = as_written(atoms)
        frame.info.update(digest=digest(frame), config_type=kind, round=number)
        return frame


def _append(path: Path, frame: Atoms) -> Atoms:
    """Write a frame to the end of a file; return it as it will be read."""
    text = io.StringIO()
    ase.io.write(text, frame, format="extxyz")
    append_text(path, text.getvalue())
    return next(_parse(text.getvalue()))


def _parse(text: str) -> Iterator[Atoms]:
    for frame in ase.io.iread(io.StringIO(text), index=":", format="extxyz"):
        frame.info["digest"] = str(frame.info["digest"])  # one of digits alone is read as a number
        frame.info["round"] = int(frame.info["round"])
        yield frame


def _read(path: Path) -> Iterator[Atoms]:
    """All whole frames of a file; what a kill left behind them is cut off, which is said."""
    if not path.is_file():
        return
    lines = path.read_text().splitlines(keepends=True)
    place = 0
    while place < len(lines):
        end = place + 2 + int(lines[place]) if lines[place].strip().isdigit() and lines[place].endswith("\n") else 0
        if not place < end <= len(lines) or not lines[end - 1].endswith("\n"):
            break
        place = end
    whole = "".join(lines[:place])
    if place < len(lines):
        print(f"{path}: the last structure was cut short by a kill, and is left out")
        with open(path, "r+b") as file:
            file.truncate(len(whole.encode()))
    if whole:
        yield from _parse(whole)
