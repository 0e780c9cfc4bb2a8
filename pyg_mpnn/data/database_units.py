"""Units that an ASE database says it is in: SchNetPack writes them as metadata, and ASE's reader passes them over."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pyg_mpnn.data.labels import EnergyUnit, LabelNames, LengthUnit

_ENERGIES: dict[str, EnergyUnit] = {
    "ev": "eV", "hartree": "hartree", "ha": "hartree", "kcal/mol": "kcal/mol", "kj/mol": "kJ/mol",
}  # fmt: skip
_LENGTHS: dict[str, LengthUnit] = {
    "ang": "angstrom", "angstrom": "angstrom", "a": "angstrom", "bohr": "bohr", "a0": "bohr",
}  # fmt: skip


def with_units_of_database(path: Path, names: LabelNames) -> LabelNames:
    """Take the units that a database of SchNetPack states.

    Args:
        path: a file; one that is no database, or states no units, changes nothing.
        names: what the user said.

    Returns:
        the same with the units of the file where they are not eV and A.

    Raises:
        ValueError: a unit that is not known, forces that are not in that of the energies over that of lengths, or
            units of the user's that differ.

    Source:
        the metadata that ``ASEAtomsData.create`` of SchNetPack 2 writes: K. T. Schuett et al., J. Chem. Phys. 158,
        144801 (2023).
    """
    if path.suffix != ".db":
        return names
    import ase.db

    try:
        with ase.db.connect(str(path), use_lock_file=False) as database:
            said: Mapping[str, Any] = database.metadata or {}
    except sqlite3.DatabaseError:  # which the reader says
        return names
    units: Mapping[str, str] = said.get("_property_unit_dict") or {}
    energy, length = units.get(names.energy or "energy"), said.get("_distance_unit")
    if energy is None and length is None:
        return names
    energy, length = energy or "eV", length or "Ang"
    if energy.lower() not in _ENERGIES or length.lower() not in _LENGTHS:
        raise ValueError(
            f"'path' must be in units that are known, got {energy} and {length} in the metadata of {path}: "
            "convert it to eV and A."
        )
    found = replace(names, energy_unit=_ENERGIES[energy.lower()], length_unit=_LENGTHS[length.lower()])
    forces = units.get(names.forces or "forces", f"{energy}/{length}")
    of_energy, _, of_length = forces.lower().rpartition("/")
    if (_ENERGIES.get(of_energy), _LENGTHS.get(of_length)) != (found.energy_unit, found.length_unit):
        raise ValueError(
            f"'path' must have its forces in {energy}/{length}, as its energies and positions, got {forces} in the "
            f"metadata of {path}: convert them."
        )
    for given, stated in ((names.energy_unit, found.energy_unit), (names.length_unit, found.length_unit)):
        if given not in (None, stated):
            raise ValueError(
                f"units must be those that the metadata of {path} say, {stated}, got {given}: leave the flag out."
            )
    return found if (found.energy_unit, found.length_unit) != ("eV", "angstrom") else names
