"""The teacher: an ASE calculator by its name, and what it says of one structure."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.abc import GetPropertiesMixin
from ase.calculators.calculator import PropertyNotImplementedError
from numpy.typing import NDArray

from pyg_mpnn.models.build import find_object

_DECIMALS = 8  # of positions, cells and forces in extended XYZ


@dataclass(frozen=True)
class Label:
    """What a teacher says of a structure.

    Args:
        energy: The energy whose gradient the forces are (``free_energy`` where the calculator has one).
        forces: One row an atom, those of constraints not taken out.
        stress: In ASE's Voigt order; None where the teacher or the structure has none.
        seconds: What it took.

    Units:
        eV, eV/A, eV/A^3, s.
    """

    energy: float
    forces: NDArray[np.float64]
    stress: NDArray[np.float64] | None = None
    seconds: float = 0.0


class NoLabel(ValueError):
    """A teacher has no usable result for a structure; the message says why."""


@dataclass(frozen=True)
class Teacher:
    """An ASE calculator by the place of its class, and the arguments to make it with; its code runs, so trust it.

    Args:
        name: ``package.module:Class`` or ``file.py:Class``; a function that makes a calculator will do.
        arguments: Of the class, by name.

    Units:
        The calculator must be in ASE's: eV and A.

    Raises:
        ValueError: The name has no colon.

    Example:
        >>> from ase.build import bulk
        >>> teacher = Teacher("ase.calculators.emt:EMT")
        >>> label(teacher.make(), bulk("Cu")).forces.shape
        (1, 3)
    """

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not all(self.name.rpartition(":")[::2]):
            raise ValueError(
                f"'teacher' must be package.module:Class or file.py:Class of an ASE calculator, got {self.name!r}"
            )

    def __str__(self) -> str:
        return f"{self.name}({', '.join(f'{name}={value!r}' for name, value in self.arguments.items())})"

    def make(self) -> GetPropertiesMixin:
        """Import the class and make a calculator.

        Returns:
            the calculator.

        Raises:
            ValueError: There is no such class, its arguments do not make one, or it is no ASE calculator.
        """
        found = find_object(self.name)
        try:
            calculator = found(**self.arguments)
        except Exception as error:  # of code that is not ours
            raise ValueError(f"'teacher' must be made by its arguments, got of {self}: {_told(error)}") from error
        if not isinstance(calculator, GetPropertiesMixin):
            raise ValueError(f"'teacher' must be an ASE calculator, got {type(calculator).__name__} of {self.name}")
        return calculator


def as_written(atoms: Atoms) -> Atoms:
    """A structure as a file of labels keeps it: atoms, positions and cell alone, to eight decimals.

    What is labelled is then, to the last bit, what is read again.

    Args:
        atoms: the structure.

    Returns:
        a structure without velocities, constraints and results.

    Units:
        A.
    """
    cell = atoms.cell.array.round(_DECIMALS) + 0.0 if atoms.pbc.any() else None  # + 0.0: no minus zero
    return Atoms(atoms.numbers, atoms.positions.round(_DECIMALS) + 0.0, cell=cell, pbc=atoms.pbc)


def label(calculator: Any, atoms: Atoms) -> Label:
    """Ask a calculator for energy, forces and, of a crystal, stress.

    Args:
        calculator: of ASE.
        atoms: the structure, which is left as it is.

    Returns:
        the label, all numbers finite.

    Units:
        eV, eV/A, eV/A^3.

    Raises:
        NoLabel: the calculator raises, is not converged, or gives what is no energy and no forces.
    """
    own = atoms.copy()
    own.calc = calculator
    known = getattr(calculator, "implemented_properties", ())
    stress = None
    begun = time.perf_counter()
    try:
        energy = own.get_potential_energy(force_consistent="free_energy" in known)
        forces = own.get_forces(apply_constraint=False)
        if own.pbc.all() and "stress" in known:
            try:
                stress = np.asarray(own.get_stress(apply_constraint=False), dtype=float)
            except PropertyNotImplementedError:
                stress = None
    except Exception as error:  # of code that is not ours
        raise NoLabel(_told(error)) from error
    seconds = time.perf_counter() - begun
    converged = getattr(calculator, "converged", None)
    converged = converged() if callable(converged) else converged
    if converged is not None and not converged:
        raise NoLabel("not converged")
    try:
        found = Label(float(energy), np.array(forces, dtype=float), stress, seconds)
    except (TypeError, ValueError) as error:
        raise NoLabel(f"energy and forces are no numbers: {_told(error)}") from error
    if found.forces.shape != (len(atoms), 3):
        raise NoLabel(f"forces have the shape {found.forces.shape} for {len(atoms)} atoms")
    for name, values in (("energy", found.energy), ("forces", found.forces), ("stress", found.stress)):
        if values is not None and not np.isfinite(values).all():
            raise NoLabel(f"{name} is not finite")
    return found


def _told(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
