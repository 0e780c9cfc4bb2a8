"""ORCA: every geometry of an output with its energy and forces."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from pyg_mpnn.data.output_steps import NOT_CONVERGED, Step, iterate_steps, mark_wrong, says, scan_steps, whole_lines
from pyg_mpnn.data.program_outputs import Scan
from pyg_mpnn.units import BOHR, HARTREE

UNITS = (
    "converted from hartree and bohr to eV and A; the energy is the final one of the program (of a correlated method, "
    "or of the excited state that it follows), 'scf_energy' that of its electrons before"
)
_NUMBER = r"\s+(-?\d+\.\d+(?:[Ee][-+]?\d+)?)"
_PLACE = re.compile(rf"\s*(\S+)(\s*:)?{3 * _NUMBER}\s*$")
_GRADIENT = re.compile(rf"\s*\d+\s*(?:[A-Z][a-z]?\s*)?:{3 * _NUMBER}\s*$")
_TITLES = ("CARTESIAN GRADIENT", "The final MP2 gradient", "The cartesian gradient:")
_ENERGY = re.compile(rf"FINAL SINGLE POINT ENERGY\s*(\(.*?\))?{_NUMBER}")  # in parentheses: of which part, or a doubt
_ORIGIN = re.compile(rf"CENTER OF MASS\s*=\s*\({_NUMBER},{_NUMBER},?{_NUMBER}\)")


def is_orca(path: Path) -> bool:
    """Whether a file is an output of ORCA, by its first 20,000 characters.

    Args:
        path: the file.

    Returns:
        whether it says so.
    """
    return says(path, b"* O   R   C   A *")


def scan_orca(path: Path) -> Scan:
    """Steps of an output that are not converged, cut short, of several states or not of atoms alone.

    Args:
        path: the file.

    Returns:
        what was found.
    """
    steps = read_orca(path)
    scan = scan_steps("ORCA", UNITS, steps)
    if excited := sum("excited" in step.others for step in steps):
        scan.units += f"; {excited} steps are of an EXCITED STATE: --energy-key scf_energy is the ground state"
    return scan


def read_orca(path: Path) -> list[Step]:
    """All geometries of an output: of single points, relaxations, scans, dynamics and several jobs.

    Args:
        path: the file.

    Returns:
        the steps; the dipole is with respect to the origin of the coordinates.

    Raises:
        ValueError: no coordinates are printed.

    Source:
        F. Neese, WIREs Comput. Mol. Sci. 12, e1606 (2022) (ORCA); its words were looked up in outputs of ORCA 2.6 to
        6.1.
    """
    from ase.data import atomic_numbers

    steps: list[Step] = []
    step, table, ended = Step(), "", False
    charge, origin = 0.0, np.zeros(3)
    gradients: list[list[list[float]]] = []  # of the step, each with a row for each atom
    for line in whole_lines(path):
        if table:
            row = (_PLACE if table == "positions" else _GRADIENT).match(line)
            if row and table == "positions":
                if row[1] not in atomic_numbers or row[2]:
                    step.wrong = f"it has {row[1] + (row[2] or '').strip()!r}, no atom: a ghost or a point charge"
                step.symbols.append(row[1] if row[1] in atomic_numbers else "X")
                step.positions.append([float(word) for word in row.groups()[2:]])
                continue
            if row:
                gradients[-1].append([-float(word) for word in row.groups()])
                continue
            if not (step.positions if table == "positions" else gradients[-1]) and not line.strip(" -\n"):
                continue  # between a title and its table
            table = ""
        if "CARTESIAN COORDINATES (ANGSTROEM)" in line:
            if step.energy is not None:
                steps.append(_with_forces(step, gradients))
            step, gradients, table = Step(), [], "positions"
        elif line.strip().startswith(_TITLES):
            gradients.append([])
            table = "gradient"
        elif match := _ENERGY.match(line):
            step.energy = float(match[2])
            if re.search("not (fully )?converged", line):
                step.wrong = NOT_CONVERGED
            elif match[1] and "M" in match[1]:
                step.wrong = step.wrong or f"its energy is one of several parts, {match[1]}, which are not read"
        elif "SCF NOT CONVERGED" in line:
            step.wrong = NOT_CONVERGED
        elif re.match(r"Total Energy\s+:.*Eh", line):
            step.others["scf_energy"] = float(line.split()[3]) * HARTREE
        elif re.match(r"\s*(DE\((CIS|TDDFT|TD-DFT)\)|E\(SOC CIS\))\s*=", line) or line.strip().startswith("IROOT="):
            step.others["excited"] = 1
        elif "Total Charge" in line and "...." in line:
            charge = float(line.split()[-1])
        elif match := _ORIGIN.search(line):
            origin = np.array([float(word) for word in match.groups()])
        elif line.startswith("Total Dipole Moment"):
            step.others["dipole"] = (np.array([float(word) for word in line.split()[-3:]]) + charge * origin) * BOHR
        ended = ended or "ORCA TERMINATED NORMALLY" in line
    if step.positions:
        steps.append(_with_forces(step, gradients))
    if not steps:
        raise ValueError(
            f"'path' must have its coordinates in the output, got none in {path} of ORCA: compute it again without "
            "MiniPrint."
        )
    mark_wrong(steps, ended)
    return steps


def _with_forces(step: Step, gradients: list[list[list[float]]]) -> Step:
    """A step with the gradient that was printed for it; several that differ are of several states."""
    whole = [gradient for gradient in gradients if len(gradient) == len(step.positions)]
    if any(not np.allclose(gradient, whole[0], atol=1e-6) for gradient in whole):
        step.wrong = step.wrong or "it has the gradients of several states"
    step.forces = whole[-1] if whole else []
    return step


iterate_orca = iterate_steps(read_orca)
