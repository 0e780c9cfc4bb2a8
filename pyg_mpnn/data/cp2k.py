"""CP2K: its output, and the positions and forces that it writes beside it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pyg_mpnn.data.labels import LabelNames
from pyg_mpnn.data.output_steps import NOT_CONVERGED, Step, mark_wrong, scan_steps, whole_lines
from pyg_mpnn.data.program_outputs import Scan
from pyg_mpnn.units import GPA

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


def scan_cp2k(path: Path) -> Scan:
    """Steps of an output that are not converged or cut short.

    Args:
        path: the file.

    Returns:
        what was found.
    """
    return scan_steps("CP2K", UNITS, _read_steps(path))


def iterate_cp2k(path: Path, names: LabelNames) -> Iterator[ase.Atoms]:
    """The evaluations of energy and forces of an output whose positions it prints.

    Args:
        path: the file.
        names: not used.

    Yields:
        structures in A with energy, forces and stress in eV and A; periodic where the output has a cell.

    Raises:
        ValueError: positions or a unit is missing; the message says where they can be had.
    """
    for index, step in enumerate(_read_steps(path)):
        if not step.positions:
            raise ValueError(
                f"frame {index} of {path} must have its positions in the output, got its energy alone, as of a "
                "dynamics or a relaxation: read NAME-pos-1.xyz, with NAME-frc-1.xyz beside it."
            )
        yield step.atoms()


def _read_steps(path: Path) -> list[Step]:
    steps: list[Step] = []
    step, table, unit = Step(), "", 1.0
    cell: list[list[float]] = []
    pbc, ended = "XYZ", False

    def begin() -> Step:
        if step.energy is not None or step.wrong:
            steps.append(step)
        return Step(cell=cell, pbc=pbc)  # positions alone were printed and not computed, as before a restart

    for line in whole_lines(path):
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
        elif "| periodicity" in title:
            pbc = step.pbc = title.split()[-1].upper()
        elif "atomic coordinates in" in title:
            step, table = begin(), "positions"
            _check_unit("coordinates", title, ("angstrom",), path)
        elif "scf run not converged" in title:
            step = begin() if step.energy is not None else step
            step.wrong = NOT_CONVERGED
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
        ended = ended or "program ended at" in title
    if step.positions or step.energy is not None:
        steps.append(step)
    mark_wrong(steps, ended)
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
        structures in A with energy and forces in eV and A. Where a file beside it is missing, the cell is that of
        ``NAME-1.restart`` or of an output of CP2K there, and the forces are those of the output's step of this energy,
        as the stress always is.

    Raises:
        ValueError: the cell is unknown, or the files have other steps or atoms.
    """
    beside = path.with_name(path.name.replace("-pos-", "-frc-"))
    forces = _read_xyz(beside) if beside.is_file() else None
    cells, find = _read_cells(path), _find_beside(path)
    for symbols, positions, number, energy in _read_xyz(path):
        step = find(energy) or Step()
        step.symbols, step.positions, step.energy = symbols, positions.tolist(), energy
        if forces is not None:
            others, values, other, _ = next(forces, ([], np.empty((0, 3)), None, 0.0))
            if other != number or others != symbols:
                raise ValueError(
                    f"'path' must have forces of the same steps and atoms beside it, got step {number} in {path} and "
                    f"{other} in {beside}: let CP2K write both as often, or remove {beside.name}."
                )
            step.forces = values.tolist()
        cell = cells if isinstance(cells, np.ndarray) else cells.get(number)
        if cell is None:
            raise ValueError(f"'path' must have a cell for each step, got none for step {number} of {path}.")
        step.cell = cell.tolist()
        yield step.atoms()


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


def _outputs_beside(path: Path) -> list[Path]:
    return [file for file in sorted(path.parent.iterdir()) if is_cp2k(file)]


def _find_beside(path: Path) -> Callable[[float], Step | None]:
    """Find a step by its energy (hartree) in the outputs of CP2K beside a trajectory, which has ten decimals.

    None where two steps have this energy and other forces, as of a motion to either side.
    """
    said = [step for file in _outputs_beside(path) for step in _read_steps(file) if step.energy is not None]
    said.sort(key=lambda step: step.energy or 0.0)
    energies = np.array([step.energy for step in said])

    def find(energy: float) -> Step | None:
        first, last = np.searchsorted(energies, [energy - 1e-9, energy + 1e-9])
        found = sorted(said[first:last], key=lambda step: abs((step.energy or 0.0) - energy))
        equal = [step.forces for step in found if abs((step.energy or 0.0) - energy) < 1e-10]
        if any(len(one) == len(equal[0]) and not np.allclose(one, equal[0], atol=1e-3) for one in equal[1:]):
            return None
        return found[0] if found else None

    return find


def scan_positions(path: Path) -> Scan:
    """Steps of a trajectory that an output of CP2K beside it says are not converged.

    Args:
        path: the file of positions.

    Returns:
        what was found; convergence counts as not checked where a step is in no output.
    """
    find, scan = _find_beside(path), Scan(program="CP2K", units=UNITS)
    for index, (_, _, _, energy) in enumerate(_read_xyz(path)):
        step = find(energy)
        scan.checked = scan.checked and step is not None
        if step is not None and step.wrong:
            scan.wrong[index] = step.wrong
    return scan


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
    outputs = _outputs_beside(path)
    fixed = {str(step.cell): step.cell for file in outputs for step in _read_steps(file) if len(step.cell) == 3}
    if len(fixed) == 1 and not any(_changes_cell(file) for file in outputs):
        return np.array(next(iter(fixed.values())))
    raise ValueError(
        f"'path' must have its cell beside it, got neither {stem}-1.cell nor {restart.name} at {path}, nor an "
        "output of CP2K whose cell stays as it is: copy one there."
    )


def _changes_cell(path: Path) -> bool:
    """Whether an output is of dynamics or a relaxation of the cell."""
    with path.open(encoding="utf-8", errors="replace") as file:
        return any("CELL_OPT" in line or ("nsemble" in line.lower() and "NP" in line) for line in file)
