"""HDF5 in the layouts of ANI and of SPICE: a group for each molecule or size, with all its conformations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyg_mpnn.data.labels import LabelNames
from pyg_mpnn.units import BOHR, HARTREE

if TYPE_CHECKING:
    import ase

UNITS = (
    "energies converted from hartree, lengths from A (ANI) or bohr (SPICE), forces accordingly; other "
    "values are as they are; arrays of other lengths (coordinatesHE) are not read"
)
_ELEMENTS = ("atomic_numbers", "species")
_PLACES = {"coordinates": 1.0, "conformations": BOHR}  # A by the name that each layout has
_ENERGIES = ("dft_total_energy", "wb97x_dz.energy", "energies", "energy")
_FORCES = {"dft_total_gradient": -1.0, "wb97x_dz.forces": 1.0, "forces": 1.0}  # sign by name


def is_hdf5(path: Path) -> bool:
    """Whether a file is HDF5, by its first bytes."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(8) == b"\x89HDF\r\n\x1a\n"


def iterate_hdf5(path: Path, names: LabelNames) -> Iterator[ase.Atoms]:
    """The conformations of all groups, one in memory at a time.

    A group has ``atomic_numbers`` or ``species``, and ``coordinates`` (ANI-1, ANI-1x, ANI-2x; A) or ``conformations``
    (SPICE; bohr). Its first dimension counts conformations. The labels are ``dft_total_energy`` and minus
    ``dft_total_gradient`` (SPICE), ``wb97x_dz.energy`` and ``wb97x_dz.forces`` (ANI-1x), ``energies`` and ``forces``;
    other energies (in ANI-1x ``ccsd(t)_cbs.energy``) are read by their name, in eV too.

    Args:
        path: the file.
        names: not used here: its names are looked up in what each structure holds.

    Yields:
        molecules; all other values with a row for each conformation go along under their names, ``config_type`` is the
        name of the group, or what SPICE calls its subset.

    Raises:
        ImportError: h5py is not installed.
        ValueError: no group has elements and positions, shapes do not fit, or a unit is another one.

    Source:
        J. S. Smith et al., Sci. Data 7, 134 (2020) (ANI-1x); P. Eastman et al., Sci. Data 10, 11 (2023) (SPICE).
    """
    try:
        import h5py
    except ImportError as error:
        raise ImportError(
            f'reading {path.name} needs h5py, which is not installed: pip install "pyg_mpnn[hdf5]".'
        ) from error
    groups: list[Any] = []

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Group) and set(item) & set(_ELEMENTS) and set(item) & set(_PLACES):
            groups.append(name)

    with h5py.File(path, "r") as file:
        visit("/", file)
        file.visititems(visit)
        if not groups:
            raise ValueError(
                f"'path' must hold groups with {' or '.join(_ELEMENTS)} and {' or '.join(_PLACES)}, as ANI and SPICE "
                f"have, got {', '.join(list(file)[:5]) or 'none'} in {path}."
            )
        for name in groups:
            yield from _conformations(file[name], f"group {name} of {path}")


def _conformations(group: Any, where: str) -> Iterator[ase.Atoms]:
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator

    place = next(name for name in _PLACES if name in group)
    angstrom = _PLACES[place]
    kind = next(name for name in _ELEMENTS if name in group)
    z = _atomic_numbers(group[kind][()], where)
    count, atoms = group[place].shape[:2]
    if z.shape not in ((atoms,), (count, atoms)):
        raise ValueError(f"'{kind}' must have one element for each of {atoms} atoms, got shape {z.shape} in {where}.")
    energy = next((name for name in _ENERGIES if name in group), None)
    forces = next((name for name in _FORCES if name in group), None)
    _check_units(group, place, energy, forces, where)
    of_rows = {name: group[name] for name in group if group[name].shape[:1] == (count,) and name not in (place, kind)}
    subset = group["subset"][()] if "subset" in group else group.name
    kind_of = str(_plain(np.ravel(subset)[0])).strip("/")
    of_group = {name: np.ravel(group[name][()])[0] for name in group if group[name].size == 1 and name != "subset"}
    for k in range(count):
        values = {name: array[k] for name, array in of_rows.items()}
        results: dict[str, Any] = {}
        if energy is not None and np.isfinite(value := float(np.ravel(values.pop(energy))[0])):
            results["energy"] = value * HARTREE
        if forces is not None and np.isfinite(value := values.pop(forces)).all():
            results["forces"] = _FORCES[forces] * value * HARTREE / angstrom
        found = Atoms(z if z.ndim == 1 else z[k], group[place][k] * angstrom)
        found.info |= {"config_type": kind_of, **{name: _plain(value) for name, value in of_group.items()}}
        for name, value in values.items():
            if isinstance(value, (bytes, str)):
                found.info[name] = _plain(value)
                continue
            if not np.all(np.isfinite(value)):
                continue
            value = value * HARTREE if "energy" in name or name.startswith("energies") else value
            if np.shape(value)[:1] == (atoms,):
                found.arrays[name] = np.asarray(value)
            else:
                found.info[name] = value
        found.calc = SinglePointCalculator(found, **results)
        yield found


def _plain(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def _atomic_numbers(values: np.ndarray, where: str) -> np.ndarray:
    from ase.data import atomic_numbers

    if values.dtype.kind in "iu":
        return values.astype(np.int64)
    symbols = [value.decode() if isinstance(value, bytes) else str(value) for value in np.ravel(values)]
    unknown = [symbol for symbol in symbols if symbol not in atomic_numbers]
    if unknown:
        raise ValueError(f"elements must be numbers or symbols, got {unknown[0]!r} in {where}.")
    return np.array([atomic_numbers[symbol] for symbol in symbols]).reshape(values.shape)


def _check_units(group: Any, place: str, energy: str | None, forces: str | None, where: str) -> None:
    """Refuse a data set whose attribute ``units`` says another unit than its layout has."""
    length = "bohr" if _PLACES[place] != 1.0 else "angstrom"
    for name, unit in ((place, length), (energy, "hartree"), (forces, f"hartree/{length}")):
        said = group[name].attrs.get("units") if name is not None else None
        if said is not None and str(_plain(said)).lower() != unit:
            raise ValueError(f"'{name}' must be in {unit}, as in this layout, got the unit {said!r} in {where}.")
