"""Steps of an output of an electronic-structure program, as the readers of ORCA, Gaussian and CP2K find them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyg_mpnn.data.labels import LabelNames
from pyg_mpnn.data.program_outputs import CUT, Scan
from pyg_mpnn.units import BOHR, HARTREE

if TYPE_CHECKING:
    import ase

NOT_CONVERGED = "its electrons are not converged"


@dataclass
class Step:
    """One geometry of an output and what was computed there, in the program's units.

    Args:
        symbols: chemical symbols.
        positions: in A.
        cell: up to three vectors in A.
        pbc: the periodic ones of the vectors, as letters.
        energy: in hartree.
        forces: in hartree/bohr.
        stress: in eV/A^3, positive under pressure.
        others: further values, in eV, A and e.
        wrong: why the step is not to be learned from; empty where it is sound.
    """

    symbols: list[str] = field(default_factory=list)
    positions: list[list[float]] = field(default_factory=list)
    cell: list[list[float]] = field(default_factory=list)
    pbc: str = "XYZ"
    energy: float | None = None
    forces: list[list[float]] = field(default_factory=list)
    stress: list[list[float]] = field(default_factory=list)
    others: dict[str, Any] = field(default_factory=dict)
    wrong: str = ""

    def atoms(self) -> ase.Atoms:
        """The step as an ASE structure in eV and A."""
        from ase import Atoms
        from ase.calculators.calculator import all_properties
        from ase.calculators.singlepoint import SinglePointCalculator

        cell = np.zeros((3, 3))
        cell[: len(self.cell)] = np.reshape(self.cell, (-1, 3))
        pbc = [k < len(self.cell) and "XYZ"[k] in self.pbc for k in range(3)]
        atoms = Atoms(self.symbols, np.reshape(self.positions, (-1, 3)), cell=cell, pbc=pbc)
        results: dict[str, Any] = {} if self.energy is None else {"energy": self.energy * HARTREE}
        if self.forces:
            results["forces"] = np.array(self.forces) * HARTREE / BOHR
        if len(self.stress) == 3 and all(pbc):
            results["stress"] = -np.array(self.stress).reshape(9)[[0, 4, 8, 5, 2, 1]]
        results |= {name: value for name, value in self.others.items() if name in all_properties}
        atoms.info |= {name: value for name, value in self.others.items() if name not in all_properties}
        atoms.calc = SinglePointCalculator(atoms, **results)
        return atoms


def mark_wrong(steps: Sequence[Step], ended: bool) -> None:
    """Say which steps lack what was to be computed, and of which molecules the forces push or turn the whole.

    Forces of a molecule alone sum to zero, and so do their torques. They do not where coordinates and forces are in
    different orientations, or where there are charges or a field besides the atoms.

    Args:
        steps: the steps of a file; their ``wrong`` is set.
        ended: whether the program said that it ended.
    """
    for step in steps:
        part = step.positions and step.forces and len(step.forces) != len(step.positions)
        if step.energy is None or part or len(step.stress) not in (0, 3):
            step.wrong = step.wrong or CUT
    if steps and not ended and not steps[-1].forces:
        steps[-1].wrong = steps[-1].wrong or CUT
    for step in steps:
        if len(step.forces) == len(step.positions) and not step.cell:
            step.wrong = step.wrong or _turns_or_pushes(step)


def _turns_or_pushes(step: Step) -> str:
    forces, places = np.array(step.forces), np.array(step.positions) / BOHR
    for vectors, least, says in (
        (forces, 2e-3, "sum"),
        (np.cross(places - places.mean(axis=0), forces), 1e-2, "turn the molecule: their torques sum"),
    ):
        whole, parts = np.linalg.norm(vectors.sum(axis=0)), np.linalg.norm(vectors, axis=1).sum()
        # Of 902 frames of cclib's files one is beyond, whose forces are printed in another orientation.
        if whole > max(least, 0.2 * parts):
            return (
                f"its forces {says} to {whole / parts:.0%} of their sizes: they are in another orientation than the "
                "coordinates, or there is a field or charge besides the atoms"
            )
    return ""


def scan_steps(program: str, units: str, steps: Sequence[Step], method: str = "") -> Scan:
    """What the steps of a file say of themselves.

    Args:
        program: its name.
        units: what is read, in words.
        steps: the steps.
        method: what must be equal for energies of two files to go together.

    Returns:
        the wrong ones by their number, for people.
    """
    wrong = {index: step.wrong for index, step in enumerate(steps) if step.wrong}
    return Scan(program=program, units=units, wrong=wrong, method=method)


def iterate_steps(read: Callable[[Path], Sequence[Step]]) -> Callable[[Path, LabelNames], Iterator[ase.Atoms]]:
    """How structures are read from what reads steps.

    Args:
        read: the steps of a file.

    Returns:
        a function of a path and names, which are not used, that yields structures in eV and A.
    """

    def images(path: Path, names: LabelNames) -> Iterator[ase.Atoms]:
        for step in read(path):
            yield step.atoms()

    return images


def says(path: Path, *words: bytes) -> bool:
    """Whether a file has one of some words in its first 20,000 characters.

    Args:
        path: the file, also compressed as ASE reads it.
        *words: what its program writes.

    Returns:
        whether it does; False for what is no file.
    """
    from ase.io.formats import open_with_compression

    if not path.is_file():
        return False
    try:
        with open_with_compression(str(path), "rb") as file:
            head = file.read(20_000)
    except (OSError, EOFError):
        return False
    return any(word in head for word in words)


def whole_lines(path: Path) -> Iterator[str]:
    """The lines of a text, also compressed as ASE reads it, without one that was cut.

    Args:
        path: the file; what is no UTF-8 in it is replaced.

    Yields:
        the lines; the last one needs its end, or to be that with which a program ends.

    Raises:
        ValueError: a compressed file is not whole.
    """
    from ase.io.formats import get_compression, open_with_compression

    packed = get_compression(str(path))[1] is not None
    with open_with_compression(str(path), "r") if packed else path.open(encoding="utf-8", errors="replace") as file:
        try:
            for line in file:
                if line.endswith("\n") or any(word in line for word in ("termination", "TERMINATED", "PROGRAM ENDED")):
                    yield line
        except EOFError as error:
            raise ValueError(
                f"'path' must be whole, got a compressed file that was cut in {path}: copy it again."
            ) from error
