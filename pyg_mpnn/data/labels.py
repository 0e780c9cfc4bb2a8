"""Where an ASE structure keeps its reference energy, forces and stress."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import ase
    from torch_geometric.data import Data


@dataclass(frozen=True)
class LabelNames:
    """Names of the labels in files that ASE reads, where they are not the usual ones.

    Where one is given, only what is named is read: energies of one method and forces of another are not mixed. The
    names are looked up in ``info`` and ``arrays``, then, in a row of an ASE database, its keys and its ``data``, then
    the results of the calculator, into which ASE's readers put ``energy``, ``forces``, ``stress`` and ``free_energy``.

    Args:
        energy: Name of the total energy in eV.
        forces: Name of the forces in eV/A.
        stress: Name of the stress in eV/A^3 with ASE's sign.
        virial: Name of the virial in eV, from which the stress is ``-virial / volume``; not beside ``stress``.

    Raises:
        ValueError: both ``stress`` and ``virial`` are named, or a name is empty.

    Example:
        >>> LabelNames(energy="dft_energy", forces="dft_forces").given
        {'energy': 'dft_energy', 'forces': 'dft_forces'}
    """

    energy: str | None = None
    forces: str | None = None
    stress: str | None = None
    virial: str | None = None

    def __post_init__(self) -> None:
        if self.stress is not None and self.virial is not None:
            raise ValueError(
                f"'stress' and 'virial' exclude each other, got {self.stress!r} and {self.virial!r}: name one."
            )
        for label, name in self.given.items():
            if not name:
                raise ValueError(f"the name of the {label} must not be empty, got {name!r}: leave it out.")

    @property
    def given(self) -> dict[str, str]:
        """The names by label, those that are given."""
        names = {field.name: getattr(self, field.name) for field in fields(self)}
        return {label: name for label, name in names.items() if name is not None}


def find_labels(atoms: ase.Atoms, names: LabelNames | None = None) -> dict[str, Any]:
    """The labels of a structure, from one place.

    Args:
        atoms: The structure.
        names: What they are called; without it the first of these places that has any label: ``REF_energy``,
            ``REF_forces``, ``REF_stress`` in ``info`` and ``arrays``; the results stored in the calculator (nothing is
            computed); ``energy``, ``forces``, ``stress`` in ``info`` and ``arrays``.

    Returns:
        ``energy``, ``forces`` and ``stress`` as they are stored, those that there are.

    Raises:
        ValueError: a virial that is not of 6 or 9 components, or of a structure without a volume.
    """
    if names is not None and names.given:
        held = _held(atoms)
        found = {label: held.get(name) for label, name in names.given.items()}
        virial = found.pop("virial", None)
        if virial is not None and atoms.pbc.all():
            found["stress"] = -_components(virial, names.given["virial"]) / atoms.get_volume()
        return {label: value for label, value in found.items() if value is not None}
    labels = ("energy", "forces", "stress")
    stored = {**atoms.info, **atoms.arrays}
    for place in (
        {label: stored.get(f"REF_{label}") for label in labels},
        {label: _result(atoms, label) for label in labels},
        {label: stored.get(label) for label in labels},
    ):
        found = {label: value for label, value in place.items() if value is not None}
        if found:
            return found
    return {}


def missing_label(
    atoms: ase.Atoms, data: Data, required: Sequence[str], where: str, names: LabelNames | None = None
) -> str | None:
    """Say which label a structure lacks and what it holds instead: it may be there under another name.

    Args:
        atoms: The structure.
        data: What :func:`to_data` made of it.
        required: The labels that it must have.
        where: The structure, in words.
        names: What the labels were said to be called.

    Returns:
        the message, ``None`` where nothing is missing.
    """
    lacking = next((label for label in required if label not in data), None)
    if lacking is None:
        return None
    given = {} if names is None else names.given
    held = ", ".join(sorted(set(_held(atoms)) - {"numbers", "positions"})) or "positions alone"
    flag = f"--{lacking}-key, in Python LabelNames({lacking}=...)"
    if lacking in given:
        looked = f"it was looked for as {given[lacking]!r}, so correct the name ({flag})"
    elif given:
        looked = f"where one label is named, only those named are read, so name it too ({flag})"
    else:
        looked = f"it is taken from {lacking} or REF_{lacking}, so say what it is called ({flag})"
    return f"{lacking!r} is missing in {where}, which holds {held}: {looked}, add it, or leave the structure out."


def _held(atoms: ase.Atoms) -> dict[str, Any]:
    """All values of a structure by name."""
    held: dict[str, Any] = {}
    if atoms.calc is not None:
        names = getattr(atoms.calc, "results", {})
        held = {name: _result(atoms, name) for name in names}
    for place in ("data", "key_value_pairs"):  # of a row of an ASE database
        held |= atoms.info.get(place) or {}
    held |= {name: value for name, value in atoms.info.items() if name not in ("data", "key_value_pairs")}
    held |= atoms.arrays
    return {name: value for name, value in held.items() if value is not None}


def _result(atoms: ase.Atoms, name: str) -> Any:
    """What the calculator holds for these positions; nothing is computed, constraints are not applied."""
    from ase.calculators.calculator import PropertyNotImplementedError

    if atoms.calc is None:
        return None
    try:
        return atoms.calc.get_property(name, atoms, allow_calculation=False)
    except PropertyNotImplementedError:
        return None


def _components(virial: Any, name: str) -> np.ndarray:
    values = np.asarray(virial, dtype=np.float64)
    if values.size not in (6, 9):
        raise ValueError(f"{name!r} must have 6 (Voigt) or 3 x 3 components, got shape {values.shape}.")
    return values
