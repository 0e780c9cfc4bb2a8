"""What outputs of electronic-structure programs say of their own steps: converged, whole, by which method."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

CUT = "the file ends within it"
_NELM, _EDIFF = re.compile(r"\s*NELM\s*=\s*(\d+)"), re.compile(r"\s*EDIFF\s*=\s*(\S+)\s+stopping-criterion")
_CHANGES = re.compile(r"-?\d*\.\d+E[+-]\d+")


@dataclass
class Scan:
    """What a look through the text of an output found.

    Args:
        wrong: why a frame is not to be learned from, by its number in the file.
        method: what must be equal for energies of two files to go together, in words; empty where it is not looked for.
        program: its name; empty for a file that is no such output.
        units: what the program prints in, and what is read.
        checked: whether convergence is looked for.
    """

    wrong: dict[int, str] = field(default_factory=dict)
    method: str = ""
    program: str = ""
    units: str = ""
    checked: bool = True

    @property
    def listed(self) -> str:
        """The frames and why, the first ten of them."""
        named = [f"frame {k} ({why})" for k, why in self.wrong.items()]
        return ", ".join(named[:10]) + (f" and {len(named) - 10} more" if len(named) > 10 else "")

    def notes(self) -> list[str]:
        """What is to be said where the output is read, one sentence each."""
        if not self.program:
            return []
        notes = [f"{self.program}: {self.units}"]
        notes += [f"{self.method}"] if self.method else []
        notes += [] if self.checked else ["whether its steps are converged is NOT CHECKED"]
        return notes + ([f"{len(self.wrong)} LEFT OUT: {self.listed}"] if self.wrong else [])


def scan_output(path: Path, kind: str) -> Scan:
    """Look through an output for steps that are not converged or cut short.

    Args:
        path: the file.
        kind: ASE's name of its format.

    Returns:
        what was found; nothing for files that are no outputs.

    Raises:
        ValueError: steps of VASP are of a machine-learned force field.

    Source:
        VASP: a step of OUTCAR is converged where EDIFF is reached; VASP 5 prints this after NELM steps too, where the
        last change of the energy counts. One of vasprun.xml is where it took fewer steps than NELM, as pymatgen does
        (S. P. Ong et al., Comput. Mater. Sci. 68, 314 (2013)). Others: what they print.
    """
    from ase.io.formats import open_with_compression

    if kind == "vasp-xml":
        return _scan_vasprun(path)
    scan = _SCANS.get(kind)
    if scan is None:
        program = _UNCHECKED.get(kind, "")
        return Scan(program=program, units="in eV and A, as ASE converts it", checked=not program)
    with open_with_compression(str(path), "r") as file:
        return scan(path, file)


def _scan_outcar(path: Path, lines: Iterable[str]) -> Scan:
    found = Scan(program="VASP", units=_VASP)
    step, reached, taken, closing = 0, False, 0, False
    most, tolerance, change = 0, float("inf"), 0.0  # NELM, EDIFF in eV, and the last change of the energy
    titles = []
    for line in lines:
        if "TITEL" in line:
            titles.append(" ".join(line.split("=")[-1].split()))
        elif match := _NELM.match(line):
            most = int(match[1])
        elif match := _EDIFF.match(line):
            tolerance = float(match[1])
        elif "Iteration" in line:
            taken += 1
        elif "total energy-change" in line:
            change = max((abs(float(value)) for value in _CHANGES.findall(line)), default=float("inf"))
        elif "ML FREE ENERGIE" in line:
            raise ValueError(
                f"'path' must hold steps of an electronic structure, got some of VASP's own machine-learned force "
                f"field in {path}, which ASE's reader of OUTCAR does not take: give vasprun.xml."
            )
        elif "aborting loop because EDIFF is reached" in line:
            reached = True
        elif "FREE ENERGIE OF THE ION-ELECTRON SYSTEM" in line:
            closing = True
        elif closing and "energy(sigma->0)" in line:
            if not reached:
                found.wrong[step] = "its electrons are not converged"
            elif taken >= most > 1 and change > tolerance:
                found.wrong[step] = f"its electrons are not converged in NELM = {most} steps, but to {change:.1g} eV"
            step, reached, taken, closing = step + 1, False, 0, False
    if taken or closing:
        found.wrong[step] = CUT
    found.method = _potcars(titles)
    return found


def _scan_vasprun(path: Path) -> Scan:
    from ase.io.formats import open_with_compression

    found = Scan(program="VASP", units=_VASP)
    step, most, open_step, titles = 0, None, False, []
    try:
        with open_with_compression(str(path), "rb") as file:
            for event, element in ET.iterparse(file, events=("start", "end")):
                if event == "start":
                    open_step = open_step or element.tag == "calculation"
                elif element.tag == "i" and element.get("name") == "NELM" and most is None:  # later: of responses
                    most = int(element.text or 0)
                elif element.tag == "array" and element.get("name") == "atomtypes":
                    titles = [" ".join((row[-1].text or "").split()) for row in element.iter("rc")]
                elif element.tag == "calculation":
                    if most is not None and len(element.findall("scstep")) >= most > 1:
                        found.wrong[step] = f"its electrons are not converged in NELM = {most} steps"
                    step, open_step = step + 1, False
                    element.clear()
    except ET.ParseError:
        found.wrong[step] = CUT if open_step else "the file ends before it"
    found.method = _potcars(titles)
    return found


def _potcars(titles: Iterable[str]) -> str:
    unique = list(dict.fromkeys(title for title in titles if title))
    return f"pseudopotentials {', '.join(unique)}" if unique else ""


_VASP = (
    "in eV and A, the stress from kbar (positive under pressure) to ASE's sign; the energy is that of sigma -> 0, the "
    "forces go with 'free_energy'"
)
_SCANS: dict[str, Callable[[Path, Iterable[str]], Scan]] = {
    "vasp-out": _scan_outcar,
}
_UNCHECKED = {
    "espresso-out": "Quantum ESPRESSO",
    "aims-output": "FHI-aims",
    "castep-castep": "CASTEP",
    "castep-md": "CASTEP",
    "nwchem-out": "NWChem",
    "gpaw-out": "GPAW",
    "abinit-out": "ABINIT",
    "qbox": "Qbox",
    "onetep-out": "ONETEP",
    "gamess-us-out": "GAMESS",
}
