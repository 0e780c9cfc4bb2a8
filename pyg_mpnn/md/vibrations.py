"""Vibrations of a structure from a saved potential to a report."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms

from pyg_mpnn.data.labels import LabelNames, LengthUnit, parse_types
from pyg_mpnn.files import write_whole
from pyg_mpnn.md.calculator import PotentialCalculator
from pyg_mpnn.md.constraints import describe_constraints, fix_atoms, free_coordinates
from pyg_mpnn.md.entrance import cpu_threads, known_elements, new_folder, note_unlike_trained, single_structure
from pyg_mpnn.md.graph_inputs import graph_inputs, names_of_inputs
from pyg_mpnn.md.hessian import hessian
from pyg_mpnn.md.infrared import dipole_derivatives, infrared_intensities
from pyg_mpnn.md.normal_modes import NormalModes, normal_modes
from pyg_mpnn.md.relaxation import run_relaxation
from pyg_mpnn.md.summary import write_settings
from pyg_mpnn.md.thermochemistry import Thermochemistry, in_words, thermochemistry
from pyg_mpnn.models import open_potential
from pyg_mpnn.models.checks import choose_device

__all__ = ["Vibrations", "run_vibrations"]

# Forces that shift frequencies by well under 1 cm^-1 in molecules; what relaxations usually stop at.
RELAXED = 0.01


@dataclass(frozen=True)
class Vibrations:
    """What came out of the vibrations; ``print`` says it in words.

    Args:
        formula: of the structure.
        periodic: whether it is periodic, so that these are the modes at the Gamma point.
        frequencies_cm: ascending, in cm^-1; imaginary ones are negative.
        zero_point_energy_eV: of the real ones.
        num_imaginary: number of imaginary frequencies.
        num_whole: number of translations and rotations projected out.
        whole_cm: largest frequency that these would have had without projection, in cm^-1.
        hessian_asymmetry_eV_per_A2: largest difference of the Hessian from its transpose, before it is made symmetric.
        fmax_eV_per_A: largest force on an atom.
        energy_eV: electronic energy.
        thermochemistry: at the temperature asked for; None where a frequency is imaginary or forces are left.
        warnings: what makes the numbers doubtful.
        num_fixed: number of coordinates that do not move; with any, nothing is projected out.
        intensities_km_per_mol: infrared intensity of each mode; None where the potential gives no dipole moment.
    """

    formula: str
    periodic: bool
    frequencies_cm: list[float]
    zero_point_energy_eV: float
    num_imaginary: int
    num_whole: int
    whole_cm: float
    hessian_asymmetry_eV_per_A2: float
    fmax_eV_per_A: float
    energy_eV: float
    thermochemistry: Thermochemistry | None
    warnings: list[str]
    num_fixed: int = 0
    intensities_km_per_mol: list[float] | None = None

    def __str__(self) -> str:
        texts = [f"{value:.1f}" if value >= 0 else f"{-value:.1f}i" for value in self.frequencies_cm]
        table = [texts[k : k + 8] for k in range(0, len(texts), 8)]
        lines = [f"{self.formula}: {len(texts)} vibrations, frequencies in cm^-1 (i: imaginary)"]
        lines += ["".join(f"{text:>10}" for text in row) for row in table]
        if self.intensities_km_per_mol is not None:
            lines.append("infrared intensities in km/mol, in the same order")
            shown = [f"{value:.1f}" for value in self.intensities_km_per_mol]
            lines += ["".join(f"{text:>10}" for text in shown[k : k + 8]) for k in range(0, len(shown), 8)]
        if self.periodic:
            lines.append("a periodic structure: the modes at the Gamma point of this cell, no phonon dispersion")
        lines.append(f"zero-point energy {self.zero_point_energy_eV:.4f} eV")
        if self.num_fixed:
            lines.append(f"{self.num_fixed} coordinates fixed: modes of the others, nothing projected out")
        lines.append(
            f"projected out: {self.num_whole} motions of the whole, which have {self.whole_cm:.2g} cm^-1 or less; "
            f"Hessian symmetric to {self.hessian_asymmetry_eV_per_A2:.1g} eV/A^2"
        )
        if self.thermochemistry is not None:
            lines.append(in_words(self.thermochemistry))
        return "\n".join([*lines, *(f"warning: {text}" for text in self.warnings)])


def run_vibrations(
    model: str | Path,
    structure: str | Path,
    out: str | Path,
    *,
    relax: bool = False,
    fmax: float = 1e-3,
    temperature: float = 298.15,
    pressure: float = 101325.0,
    symmetry_number: int = 1,
    spin: float = 0.0,
    fix: list[str] | None = None,
    device: str = "auto",
    threads: int | None = None,
    trust: list[str] | None = None,
    length_unit: LengthUnit | None = None,
    types: str | None = None,
) -> Vibrations:
    """Vibrations of a structure from the exact Hessian of a trained potential, in float64.

    The Hessian is differentiated twice automatically, so there is no step to choose. Translations and, for a molecule,
    rotations are projected out. Frequencies mean something at a minimum only: the structure should be relaxed with the
    same potential (``pyg-mpnn relax``), or give ``--relax``. For a crystal these are the modes at the Gamma point of
    the cell in the file; a supercell has more of them. Where atoms are fixed (in the file, or by --fix) the modes are
    those of the others.

    The folder gets vibrations.json, hessian.npy (eV/A^2, ``(atoms, 3, atoms, 3)``), modes.extxyz (one frame a mode,
    with the displacements in the column ``mode``), frequencies.png, and the folder relaxation if asked for. Where the
    potential has an output ``dipole`` and the structure is a molecule, infrared intensities too, and infrared.png: each
    mode a Lorentzian of 20 cm^-1, drawn from high to low wavenumbers.

    Args:
        model: saved potential or training checkpoint, or Python code of yours as file.py:name or package.module:name.
        structure: any file that training reads (of several frames the last), or the word ethanol for the first test
            frame of the shipped sample.
        out: folder for the results; must be new or empty.
        relax: relax the atoms first, in the cell given.
        fmax: largest force that the relaxation leaves, in eV/A.
        temperature: of the thermochemistry, in K.
        pressure: of the ideal gas, in Pa.
        symmetry_number: of the molecule, for the entropy: 1 for ethanol, 2 for water, 12 for methane.
        spin: of the electrons: 0 where all are paired, 1 for O2.
        fix: atoms that do not move: indices (3), ranges (0-7), elements (element=Cu), beside those of the file.
        device: auto (a GPU if there is one), cpu, cuda or cuda:0.
        threads: of torch on the CPU; by default torch's own choice.
        trust: code of your own that the model is made of and that may run, for example my_net.py.
        length_unit: unit of positions and cell in the file; angstrom without it.
        types: elements of the numbered types of a LAMMPS file, for instance 1=Cu,2=Ag.

    Returns:
        The summary, also in vibrations.json.

    Units:
        frequencies in cm^-1, energies in eV, Hessian in eV/A^2.

    Raises:
        ValueError: if an argument is out of its range, or the structure has fewer than 2 atoms or other constraints
            than FixAtoms and FixCartesian.
        FileNotFoundError: if there is no such structure.
        FileExistsError: if the folder is not empty.
        ArithmeticError: if the relaxation does not converge.
    """
    settings = dict(locals())
    from pyg_mpnn.md.vibrations_plot import (
        plot_frequencies,
        plot_infrared,
    )  # a missing matplotlib is said before, not after

    for name in ("fmax", "temperature", "pressure", "symmetry_number", "threads"):
        if settings[name] is not None and not 0 < settings[name] < float("inf"):
            raise ValueError(f"'{name}' must be positive and finite, got {settings[name]}")
    labels = LabelNames(length_unit=length_unit, types=parse_types(types))
    place = choose_device(device)
    potential = open_potential(model, trust=trust).double().to(device=place)
    used = names_of_inputs(potential)
    atoms = single_structure(structure, constraints=True, labels=labels, announce=not relax, used=used)
    graph_inputs(potential, atoms, str(structure))  # before a folder is made
    known_elements(potential, atoms, str(structure))
    fix_atoms(atoms, fix)
    free = free_coordinates(atoms)
    if atoms.constraints:
        print(describe_constraints(atoms))
    with new_folder(out) as folder:
        if relax:
            found = run_relaxation(
                model,
                structure,
                folder / "relaxation",
                fmax=fmax,
                steps=2000,
                fix=fix,
                device=device,
                threads=threads,
                trust=trust,
                length_unit=length_unit,
                types=types,
            )
            if not found.converged:
                raise ArithmeticError(
                    f"the relaxation did not converge (largest force {found.fmax_eV_per_A:.2g} eV/A): go on with "
                    f"pyg-mpnn relax --structure {folder / 'relaxation' / 'relaxed.extxyz'}, or allow a larger 'fmax' "
                    f"({fmax:g})"
                )
            constraints = atoms.constraints
            atoms = single_structure(folder / "relaxation" / "relaxed.extxyz", constraints=True, announce=False)
            atoms.set_constraint(constraints)
        atoms.calc = PotentialCalculator(potential)
        with cpu_threads(threads):
            matrix = hessian(potential, atoms, progress=True)
            modes = normal_modes(atoms, matrix, free)
            derivatives = dipole_derivatives(potential, atoms)
            if derivatives is None and "dipole" in potential.all_outputs():
                print("no infrared intensities: they need a molecule, and a dipole in e*A or D")
            intensities = None if derivatives is None else infrared_intensities(atoms, modes, derivatives)
            summary = _summarize(atoms, modes, intensities, settings)
        with write_whole(folder / "hessian.npy", "wb") as file:
            np.save(file, matrix)
        _write_modes(folder / "modes.extxyz", atoms, modes)
        write_settings(folder / "vibrations.json", asdict(summary), settings)
        title = f"{summary.formula}, zero-point energy {summary.zero_point_energy_eV:.3f} eV"
        title += ", modes at Gamma" if atoms.pbc.any() else ""
        plot_frequencies(folder / "frequencies.png", modes.frequencies_cm, _hydrogen_share(atoms, modes), title)
        written = ["vibrations.json", "hessian.npy", "modes.extxyz", "frequencies.png"]
        if intensities is not None:
            plot_infrared(folder / "infrared.png", modes.frequencies_cm, intensities, summary.formula)
            written.append("infrared.png")
        note_unlike_trained(potential, [atoms])
        print(f"{summary}\nwritten to {folder}: {', '.join(written)}")
        return summary


def _summarize(
    atoms: Atoms, modes: NormalModes, intensities: np.ndarray | None, settings: dict[str, Any]
) -> Vibrations:
    energy = float(atoms.get_potential_energy())
    largest = float(np.linalg.norm(atoms.get_forces(), axis=1).max())
    warnings, thermo = [], None
    if largest > RELAXED:
        warnings.append(
            f"the structure is not relaxed: the largest force is {largest:.2g} eV/A (at most {RELAXED:g} would do), so "
            "the frequencies are not those of a minimum; give --relax"
        )
    if modes.num_imaginary:
        warnings.append(
            f"{modes.num_imaginary} frequencies are imaginary: the energy falls along them, this is no minimum; no "
            "thermochemistry. Displace the atoms a little along the mode (modes.extxyz) and relax: docs/questions.md"
        )
    if not warnings:
        names = ("temperature", "pressure", "symmetry_number", "spin")
        thermo = thermochemistry(atoms, modes, energy, **{name: settings[name] for name in names})
    return Vibrations(
        formula=atoms.get_chemical_formula(),
        periodic=bool(atoms.pbc.any()),
        frequencies_cm=[float(value) for value in modes.frequencies_cm],
        zero_point_energy_eV=modes.zero_point_energy,
        num_imaginary=modes.num_imaginary,
        num_whole=modes.num_whole,
        whole_cm=modes.whole_cm,
        hessian_asymmetry_eV_per_A2=modes.asymmetry,
        fmax_eV_per_A=largest,
        energy_eV=energy,
        thermochemistry=thermo,
        warnings=warnings,
        num_fixed=int((~free_coordinates(atoms)).sum()),
        intensities_km_per_mol=None if intensities is None else [float(value) for value in intensities],
    )


def _write_modes(path: Path, atoms: Atoms, modes: NormalModes) -> None:
    frames = []
    for frequency, displacement in zip(modes.frequencies_cm, modes.displacements, strict=True):
        frame = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
        frame.info["frequency_cm"] = float(frequency)
        frame.arrays["mode"] = displacement
        frames.append(frame)
    with write_whole(path) as file:
        ase.io.write(file, frames, format="extxyz")


def _hydrogen_share(atoms: Atoms, modes: NormalModes) -> np.ndarray | None:
    light = atoms.numbers == 1
    if not light.any() or light.all():
        return None
    kinetic = atoms.get_masses() * (modes.displacements**2).sum(axis=2)
    share: np.ndarray = kinetic[:, light].sum(axis=1) / kinetic.sum(axis=1)
    return share
