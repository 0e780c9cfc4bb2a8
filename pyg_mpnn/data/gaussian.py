"""Gaussian: every geometry of an output with its energy and forces, in one orientation."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from pyg_mpnn.data.output_steps import NOT_CONVERGED, Step, iterate_steps, mark_wrong, says, scan_steps, whole_lines
from pyg_mpnn.data.program_outputs import CUT, Scan
from pyg_mpnn.units import DEBYE, HARTREE

UNITS = (
    "converted from hartree and bohr to eV and A; the energy is the last one of a geometry (of a correlated method, of "
    "the excited state that is followed, counterpoise-corrected), 'scf_energy' that of its electrons before"
)
_ATOM = re.compile(r"\s*(\d+)\s+(-?\d+)\s+\d+\s+(-?\d*\.\d+)\s+(-?\d*\.\d+)\s+(-?\d*\.\d+)\s*$")
_FORCE = re.compile(r"\s*(\d+)?\s+(-?\d+)\s+(-?\d*\.\d+)\s*(-?\d*\.\d+)\s*(-?\d*\.\d+)\s*$")
_VALUE = r"\s*(-?\d*\.\d+(?:[DEde][-+]?\d+)?)"
_SCF = re.compile(rf"\s*(?:SCF Done:\s+E\((\S+)\)\s*=|Energy=(?=.*NIter)){_VALUE}")
_ENERGIES = [  # of other methods, in the order in which they are printed
    re.compile(rf"\s*E2\s*=.*(EUMP2)\s*={_VALUE}"),
    re.compile(rf"\s*E2\(\S+\)\s*=.*E\((\S+)\)\s*={_VALUE}"),  # double hybrids
    re.compile(rf"\s*E3\s*=.*EU(MP3)\s*={_VALUE}"),
    re.compile(rf"\s*E4\(\w+\)\s*=.*U(MP4\(\w+\))\s*={_VALUE}"),
    re.compile(rf"\s*DEMP5\s*=.*(MP5)\s*={_VALUE}"),
    re.compile(rf"\s*DE\(C[Oo][Rr][Rr]\)\s*=.*(E\(C[Oo][Rr][Rr]\))\s*={_VALUE}"),  # CCD, CCSD, QCISD: each iteration
    re.compile(rf"\s*DE\(CI\)\s*=.*E\((CI)\)\s*={_VALUE}"),
    re.compile(rf"\s*Wavefunction amplitudes converged\. (E\(Corr\))\s*={_VALUE}"),
    re.compile(rf"\s*(CCSD\(T\)|QCISD\(T\)|BD\(T\))\s*={_VALUE}"),
    re.compile(rf"\s*(ONIOM): extrapolated energy\s*={_VALUE}"),
    re.compile(rf"\s*Total Energy, E\((?P<excited>.+?)\)\s*={_VALUE}"),
]
_CHARGE = re.compile(r"\s*Charge\s*=\s*(-?\d+)\s+Multiplicity")
_COMPOSITE = re.compile(r"\s*([A-Z][\w()-]*?)\s*\(0 K\)\s*=")  # CBS-QB3, G4, W1U
_COUNTERPOISE = re.compile(rf"\s*Counterpoise: corrected energy\s*={_VALUE}")


def is_gaussian(path: Path) -> bool:
    """Whether a file is an output of Gaussian, by its first 20,000 characters.

    Args:
        path: the file.

    Returns:
        whether it says so.
    """
    return says(path, b"Entering Gaussian System", b"Gaussian, Inc.")


def scan_gaussian(path: Path) -> Scan:
    """Steps of an output that are not converged, cut short or not of atoms alone.

    Args:
        path: the file.

    Returns:
        what was found; the methods of its energies are compared between files.
    """
    steps = read_gaussian(path)
    methods = sorted({step.others["method"] for step in steps if "method" in step.others})
    scan = scan_steps("Gaussian", UNITS, steps, f"energies of {', '.join(methods)}" if methods else "")
    if len(methods) > 1:
        scan.units += f"; energies are of SEVERAL METHODS ({', '.join(methods)}), which do not go together"
    if excited := sum("excited" in step.others for step in steps):
        scan.units += f"; {excited} steps are of an EXCITED STATE: --energy-key scf_energy is the ground state"
    if composite := sorted({step.others["composite"] for step in steps if "composite" in step.others}):
        scan.units += (
            f"; the COMPOSITE energy of {', '.join(composite)} is NOT READ: energies are those of the methods before it"
        )
    return scan


def read_gaussian(path: Path) -> list[Step]:
    """All geometries of an output: of single points, relaxations, scans, dynamics and several jobs.

    Forces are in the orientation of the input, and so are the coordinates that are read. A geometry that is printed
    again with the same energy, as at the end of a relaxation and in the job that follows it, is one step.

    Args:
        path: the file.

    Returns:
        the steps; those of Gaussian's periodic calculations have a cell.

    Raises:
        ValueError: there is no geometry with an energy.

    Source:
        W. Kabsch, Acta Cryst. A 32, 922 (1976), for the dipole; the words were looked up in outputs of Gaussian 98 to
        16.
    """
    steps: list[Step] = []
    step, ended, failed, standard, fragment, charge = Step(), False, "", Step(), False, 0
    file = whole_lines(path)
    for line in file:
        if line.rstrip().endswith("orientation:"):
            ended = False
            new, ghosts = _read_geometry(file)
            if line.split()[0] == "Standard":
                standard = new
                if step.positions and step.energy is None:
                    continue  # the same geometry, in the other orientation
                new.others["standard"] = True
            _add(steps, step)
            step, failed, fragment = new, "", False
            if ghosts:
                step.wrong = f"it has {ghosts} ghost atoms"
        elif match := _CHARGE.match(line):
            charge = int(match[1])
        elif match := _SCF.match(line):
            if not fragment:
                step.energy = _number(match[2])
                step.others |= {
                    "scf_energy": step.energy * HARTREE,
                    "method": _method(match[1] or "semi-empirical"),
                }
                step.wrong = step.wrong or failed
            failed = ""
        elif not fragment and (match := next(filter(None, (each.match(line) for each in _ENERGIES)), None)):
            if step.energy is not None:
                step.energy = _number(match[2])
                if match.re.groupindex:
                    step.others["excited"] = match[1]
                elif not match[1].lower().startswith("e(corr"):
                    step.others["method"] = match[1].replace("EUMP2", "MP2")
                else:
                    step.others["method"] = "a coupled-cluster or QCI method"
        elif line.startswith(" Dipole moment (field-independent basis, Debye)"):
            if step.energy is not None and step.energy * HARTREE == step.others.get("scf_energy"):
                dipole = np.array([float(word) for word in next(file, "").split()[1:6:2]])
                if len(dipole) == 3:  # the file goes on
                    step.others["dipole"] = _turned(dipole * DEBYE, charge, standard, step)
        elif line.lstrip().startswith("Counterpoise: doing"):
            fragment = True
        elif match := _COUNTERPOISE.match(line):
            step.energy, fragment = _number(match[1]), False
            step.others["method"] = f"{step.others.get('method', '')} with counterpoise"
        elif "Forces (Hartrees/Bohr)" in line and "Internal" not in line:
            forces = _read_forces(file)
            if len(forces) == len(step.positions):
                step.forces = forces
            elif step.positions:
                step.wrong = step.wrong or (
                    f"its table of forces has {len(forces)} of {len(step.positions)} atoms that can be read"
                )
        elif match := _COMPOSITE.match(line):
            step.others["composite"] = match[1]
        elif "Convergence failure" in line or "Convergence criterion not met" in line:
            failed = NOT_CONVERGED
            if step.energy is None and "run terminated" in line:
                step.wrong = failed
        elif "Entering Gaussian System" in line and step.positions and not ended and not step.forces:
            step.wrong = step.wrong or CUT  # in a file that was put before this one
        elif "termination of Gaussian" in line or "Error termination" in line:
            ended = True
            if "Error termination" in line and step.energy is not None and not step.forces:
                step.wrong = step.wrong or "its calculation ended in an error"  # maybe before the last method's energy
    if step.positions and step.energy is None and not ended:
        steps.append(step)  # it was cut
    else:
        _add(steps, step)
    if not steps:
        raise ValueError(f"'path' must have geometries with energies, got none in {path} of Gaussian.")
    for each in steps:
        if each.others.pop("standard", False) and each.forces:
            each.wrong = each.wrong or (
                "its coordinates are in the standard orientation alone and its forces in that of the input: compute it "
                "again with Geom=PrintInputOrient"
            )
    mark_wrong(steps, ended)
    return steps


def _add(steps: list[Step], step: Step) -> None:
    """Add a step that has an energy or failed, or join it with the last one if it repeats that."""
    if step.energy is None and not step.wrong:
        return  # a geometry that is printed and not computed
    last = steps[-1] if steps else Step()
    same = last.symbols == step.symbols and bool(np.allclose(last.positions, step.positions, atol=1e-6))
    if same and last.energy is not None and step.energy is not None and abs(last.energy - step.energy) < 1e-6:
        last.forces = last.forces or step.forces
    else:
        steps.append(step)


def _turned(dipole: np.ndarray, charge: int, standard: Step, step: Step) -> np.ndarray:
    """A dipole moment (e A) that is printed in the standard orientation, in that of a step and about its origin."""
    if len(standard.positions) != len(step.positions):
        return dipole  # there is no standard orientation
    old, new = np.array(standard.positions), np.array(step.positions)
    u, _, v = np.linalg.svd((old - old.mean(axis=0)).T @ (new - new.mean(axis=0)))
    u[:, -1] *= np.sign(np.linalg.det(u @ v))  # a rotation without a reflection
    turn = u @ v
    return np.asarray(dipole @ turn + charge * (new.mean(axis=0) - old.mean(axis=0) @ turn))


def _read_geometry(file: Iterable[str]) -> tuple[Step, int]:
    """The table that follows a title, and how many ghost atoms are in it; dummy atoms are no atoms."""
    from ase.data import chemical_symbols

    step, ghosts = Step(), 0
    for number, line in enumerate(file):
        if match := _ATOM.match(line):
            place, kind = [float(word) for word in match.groups()[2:]], int(match[2])
            if kind == -2:
                step.cell.append(place)
            elif kind >= 0:
                ghosts += kind == 0
                step.symbols.append(chemical_symbols[kind])
                step.positions.append(place)
        elif step.positions or number > 4:
            break
    return step, ghosts


def _read_forces(file: Iterable[str]) -> list[list[float]]:
    """The table that follows a title, without the rows of cell vectors."""
    forces: list[list[float]] = []
    for number, line in enumerate(file):
        match = _FORCE.match(line)
        if match and match[1] and int(match[2]) >= 0:
            forces.append([float(word) for word in match.groups()[2:]])
        elif not match and number > 2:
            break
    return forces


def _number(text: str) -> float:
    return float(text.replace("D", "E").replace("d", "e"))


def _method(name: str) -> str:
    """The name of a method without that of its spins: RB3LYP and UB3LYP go together."""
    return re.sub(r"^(RO|R|U)(?=[A-Z])", "", name)


iterate_gaussian = iterate_steps(read_gaussian)
