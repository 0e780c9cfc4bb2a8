"""CP2K: its output, and the positions and forces that it writes beside it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyg_mpnn.data.labels import LabelNames
from pyg_mpnn.data.program_outputs import CUT, Scan
from pyg_mpnn.units import BOHR, GPA, HARTREE

if TYPE_CHECKING:
    import ase

UNITS = "converted from hartree and bohr to eV and A, the stress from its unit and sign to ASE's"
_NUMBER = r"\s+([-+]?\d+\.\d*(?:[EeDd][-+]?\d+)?)"
_ROWS = {  # of the tables of an output
    "positions": re.compile(rf"\s*\d+\s+\d+\s+([A-Z][a-z]?)\s+\d+{3 * _NUMBER}{2 * _NUMBER}\s*$"),
    "forces": re.compile(rf"\s*(?:FORCES\|\s+\d+|\d+\s+\d+\s+[A-Z]\w*){3 * _NUMBER}(?:{_NUMBER})?\s*$"),
    "stress": re.compile(rf"\s*(?:STRESS\|)?\s+[xyzXYZ]{3 * _NUMBER}\s*$"),
}
_HEADER = re.compile(r"\s*i\s*=\s*\d+,.*\bE\s*=\s*(\S+)")
_STRESS = {"gpa": GPA, "kbar": 0.1 * GPA, "bar": 1e-4 * GPA, "atm": 1.01325e-4 * GPA}


def is_cp2k(path: Path) -> bool:
    """Whether a file is an output of CP2K, by its first 20,000 characters.

    Args:
        path: the file.

    Returns:
        whether it says so.
    """
    if not path.is_file() or path.suffix in (".inp", ".restart"):
        return False
    with path.open("rb") as file:
        return b" CP2K|" in file.read(20_000)


def is_cp2k_positions(path: Path) -> bool:
    """Whether a file is the trajectory of positions that CP2K writes, by its name and comment line.

    Args:
        path: the file.

    Returns:
        whether it is ``NAME-pos-1.xyz`` with ``i = ..., E = ...`` in its second line.
    """
    if not path.is_file() or "-pos-" not in path.name or path.suffix != ".xyz":
        return False
    with path.open(encoding="utf-8", errors="replace") as file:
        return bool(_HEADER.match(file.read(1000).partition("\n")[2]))


@dataclass
class _Step:
    """One evaluation of energy and forces in an output."""

    symbols: list[str] = field(default_factory=list)
    positions: list[list[float]] = field(default_factory=list)
    cell: list[list[float]] = field(default_factory=list)
    energy: float | None = None
    forces: list[list[float]] = field(default_factory=list)
    stress: list[list[float]] = field(default_factory=list)
    converged: bool = True


def scan_cp2k(path: Path) -> Scan:
    """Steps of an output that are not converged or cut short.

    Args:
        path: the file.

    Returns:
        what was found.
    """
    found = Scan(program="CP2K", units=UNITS)
    steps = _read_steps(path)
    for index, step in enumerate(steps):
        if not step.converged:
            found.wrong[index] = "its electrons are not converged"
        elif step.energy is None:
            found.wrong[index] = CUT
    with path.open(encoding="utf-8", errors="replace") as file:
        text_ends = any("PROGRAM ENDED" in line for line in file)
    if steps and not text_ends and not steps[-1].forces and any(step.forces for step in steps):
        found.wrong.setdefault(len(steps) - 1, CUT)
    return found


def iterate_cp2k(path: Path, names: LabelNames) -> Iterator[ase.Atoms]:
    """The evaluations of energy and forces of an output whose positions it prints.

    Args:
        path: the file.
        names: not used.

    Yields:
        periodic structures in A with energy, forces and stress in eV and A.

    Raises:
        ValueError: positions, cell or a unit is missing; the message says where they can be had.
    """
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator

    for index, step in enumerate(_read_steps(path)):
        if not step.positions:
            raise ValueError(
                f"frame {index} of {path} must have its positions in the output, got its energy alone, as of a "
                "dynamics or a relaxation: read NAME-pos-1.xyz, with NAME-frc-1.xyz beside it."
            )
        atoms = Atoms(step.symbols, step.positions, cell=step.cell or None, pbc=bool(step.cell))
        results: dict[str, Any] = {} if step.energy is None else {"energy": step.energy * HARTREE}
        if step.forces:
            results["forces"] = np.array(step.forces) * HARTREE / BOHR
        if step.stress and step.cell:
            results["stress"] = -np.array(step.stress).reshape(9)[[0, 4, 8, 5, 2, 1]]
        atoms.calc = SinglePointCalculator(atoms, **results)
        yield atoms


def _read_steps(path: Path) -> list[_Step]:
    steps: list[_Step] = []
    step, table, unit = _Step(), "", 1.0
    cell: list[list[float]] = []

    def begin() -> _Step:
        if step.positions or step.energy is not None:
            steps.append(step)
            return _Step(cell=cell)
        return step

    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            row = _ROWS[table].match(line) if table else None
            title = line.strip().lower()
            if row and table == "positions":
                step.symbols.append(row[1])
                step.positions.append([float(word) for word in row.groups()[1:4]])
            elif row and table == "forces":
                step.forces.append([float(word.replace("D", "E")) for word in row.groups()[:3]])
            elif row and table == "stress" and len(step.stress) < 3:
                step.stress.append([unit * float(word) for word in row.groups()])
            elif "cell| vector" in title and "angstrom" in title:
                cell = [*(cell if "vector a" not in title else []), [float(word) for word in line.split()[4:7]]]
                step.cell = cell
            elif "atomic coordinates in" in title:
                step, table = begin(), "positions"
                _check_unit("coordinates", title, ("angstrom",), path)
            elif "scf run not converged" in title:
                step = begin() if step.energy is not None else step
                step.converged = False
            elif title.startswith("energy| total force_eval"):
                step = begin() if step.energy is not None else step
                _check_unit("energies", title, ("a.u.", "hartree"), path)
                step.energy = float(line.split()[-1])
            elif "atomic forces" in title and "[" in title:
                _check_unit("forces", title, ("[a.u.]", "[hartree/bohr]"), path)
                table = "forces"
            elif (found := re.search(r"stress tensor \[(\w+)\]", title)) and "eigen" not in title:
                unit = _STRESS[_check_unit("stresses", found[1], _STRESS, path)]
                step.stress, table = [], "stress"
            elif title and getattr(step, table or "symbols") and not title.startswith("stress|"):
                table = ""  # what follows a table
    begin()
    return steps


def _check_unit(what: str, title: str, known: Collection[str], path: Path) -> str:
    found = next((unit for unit in known if unit in title), None)
    if found is None:
        raise ValueError(f"{what} must be in {' or '.join(known)}, got {title!r} in {path}: convert them.")
    return found


def iterate_cp2k_positions(path: Path, names: LabelNames) -> Iterator[ase.Atoms]:
    """The steps of ``NAME-pos-1.xyz``, with forces from ``NAME-frc-1.xyz`` and the cell from ``NAME-1.cell``.

    Args:
        path: the file of positions.
        names: not used.

    Yields:
        structures in A with energy and forces in eV and A; the cell is that of ``NAME-1.restart`` where there is no
        file of cells.

    Raises:
        ValueError: the cell is unknown, or the files have other steps or atoms.
    """
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator

    beside = path.with_name(path.name.replace("-pos-", "-frc-"))
    forces = _read_xyz(beside) if beside.is_file() else None
    cells = _read_cells(path)
    for symbols, positions, step, energy in _read_xyz(path):
        results: dict[str, Any] = {"energy": energy * HARTREE}
        if forces is not None:
            others, values, number, _ = next(forces, ([], np.empty((0, 3)), None, 0.0))
            if number != step or others != symbols:
                raise ValueError(
                    f"'path' must have forces of the same steps and atoms beside it, got step {step} in {path} and "
                    f"{number} in {beside}: let CP2K write both as often, or remove {beside.name}."
                )
            results["forces"] = values * HARTREE / BOHR
        cell = cells if isinstance(cells, np.ndarray) else cells.get(step)
        if cell is None:
            raise ValueError(f"'path' must have a cell for each step, got none for step {step} of {path}.")
        atoms = Atoms(symbols, positions, cell=cell, pbc=True)
        atoms.calc = SinglePointCalculator(atoms, **results)
        yield atoms


def _read_xyz(path: Path) -> Iterator[tuple[list[str], np.ndarray, int, float]]:
    """Symbols, vectors, number of the step and what follows ``E =``."""
    with path.open(encoding="utf-8", errors="replace") as file:
        for first in file:
            if not first.strip():
                continue
            head = next(file, "")
            energy, step = _HEADER.match(head), re.search(r"i\s*=\s*(\d+)", head)
            rows = [line.split() for line in islice(file, int(first))]
            if energy is None or step is None or len(rows) < int(first) or any(len(row) < 4 for row in rows):
                raise ValueError(
                    f"'path' must be whole, got a cut or damaged step with the comment {head!r} in {path}."
                )
            vectors = np.array([[float(word) for word in row[1:4]] for row in rows])
            yield [row[0] for row in rows], vectors, int(step[1]), float(energy[1])


def _read_cells(path: Path) -> np.ndarray | dict[int, np.ndarray]:
    """The cell of all steps, or of each."""
    stem = path.name.split("-pos-")[0]
    cells = next(iter(sorted(path.parent.glob(f"{stem}-*.cell"))), None)
    if cells is not None:
        rows = [line.split() for line in cells.read_text().splitlines() if line.strip() and not line.startswith("#")]
        return {int(row[0]): np.array([float(word) for word in row[2:11]]).reshape(3, 3) for row in rows}
    restart = path.with_name(f"{stem}-1.restart")
    if restart.is_file():
        import ase.io

        (atoms,) = ase.io.iread(restart, format="cp2k-restart")
        return np.array(atoms.cell.array)
    raise ValueError(
        f"'path' must have its cell beside it, got neither {stem}-1.cell nor {restart.name} at {path}: copy one there."
    )


def scan_nothing(path: Path) -> Scan:
    """What is said of positions and forces, in which CP2K does not say whether its electrons are converged."""
    return Scan(program="CP2K", units=UNITS, checked=False)
