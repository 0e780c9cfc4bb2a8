"""The npz files of MD17, revised MD17 and sGDML: many frames of one molecule."""

from __future__ import annotations

import contextlib
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch_geometric.data import Data

from pyg_mpnn.data.contents import Contents, note_fixed_names
from pyg_mpnn.data.labels import ANGSTROM, EV, LabelNames

# our name: (name in revised MD17, name in MD17 and sGDML)
_KEYS = {
    "z": ("nuclear_charges", "z"),
    "pos": ("coords", "R"),
    "energy": ("energies", "E"),
    "forces": ("forces", "F"),
}
_ABOUT = ("type", "name", "theory", "md5", "code_version", "E_", "F_", "perms")  # notes and statistics of sGDML


def is_npz(path: Path) -> bool:
    """Whether a file is NumPy's npz, by its name."""
    return path.suffix == ".npz" and path.is_file()


def read_md17(path: Path, dtype: torch.dtype, names: LabelNames, keep: bool = True) -> Contents:
    """Read the frames of one molecule or crystal from an npz file.

    Keys of revised MD17 (``nuclear_charges``, ``coords``, ``energies``, ``forces``) or of MD17 and sGDML (``z``, ``R``,
    ``E``, ``F``, for crystals ``lattice``). Energies are in kcal/mol and lengths in A unless the file (sGDML's
    ``e_unit``, ``r_unit``) or the user says otherwise.

    Args:
        path: the file.
        dtype: floating-point type of positions and forces; they are converted in float64.
        names: its units count; names of labels do not: the format has its own.
        keep: not used: such a file is read as a whole.

    Returns:
        One structure a frame, with the labels that the file has, in eV and A.

    Raises:
        ValueError: not an npz file, positions or elements missing, arrays that do not fit each other or hold no
            numbers, unknown units or other units than the user says, a lattice that could be read in two ways.
    """
    arrays, others = _load(path)
    if "packing" in arrays:
        arrays = _unpack(arrays)
    energy_unit = _unit(arrays, path, "e_unit", names.energy_unit, "kcal/mol", {unit: unit for unit in EV})
    lengths = {"Ang": "angstrom", "angstrom": "angstrom", "bohr": "bohr", "Bohr": "bohr"}
    length_unit = _unit(arrays, path, "r_unit", names.length_unit, "angstrom", lengths)
    unit, angstrom = EV[energy_unit], ANGSTROM[length_unit]
    for keys in _KEYS.values():
        if all(key in arrays for key in keys):
            raise ValueError(f"'path' must hold {' or '.join(map(repr, keys))}, got both in {path}: remove one.")
    named = {name: arrays[key] for name, keys in _KEYS.items() for key in keys if key in arrays}
    for name in ("z", "pos"):
        if name not in named:
            raise ValueError(
                f"'path' must hold the array {' or '.join(map(repr, _KEYS[name]))}, got only "
                f"{', '.join(arrays) or 'none that MD17 files have'} in {path}."
            )
    named = {name: _numbers(array, name, path) for name, array in named.items()}
    _check_shapes(named, path)
    z = torch.as_tensor(named["z"].astype(np.int64))
    frames = [Data(z=z, pos=pos) for pos in torch.as_tensor(named["pos"] * angstrom).to(dtype)]
    if "lattice" in arrays:
        cell = torch.as_tensor(_lattice(arrays["lattice"], path) * angstrom).to(dtype)
        for frame in frames:
            frame.cell, frame.pbc = cell.clone(), torch.ones(1, 3, dtype=torch.bool)
    if "energy" in named:
        for frame, energy in zip(frames, torch.as_tensor(named["energy"].reshape(-1, 1) * unit), strict=True):
            frame.energy = energy
    if "forces" in named:
        forces_unit = unit / angstrom
        for frame, forces in zip(frames, torch.as_tensor(named["forces"] * forces_unit).to(dtype), strict=True):
            frame.forces = forces

    def unread() -> dict[str, np.ndarray]:
        """The other arrays with a row for each frame: those of the first, which stands for all."""
        rows = [(name, array[0]) for name, array in others.items() if array.shape[:1] == (len(frames),)]
        return {name: row if row.size > 1 else row.reshape(()) for name, row in rows}

    def missing(label: str, where: str) -> str:
        names = " or ".join(map(repr, _KEYS[label]))
        return (
            f"{label!r} is missing in {where}, which holds {', '.join(sorted([*arrays, *others]))}: the format calls "
            f"it {names}, so rename the array, or leave the file out."
        )

    read = {name: key for name, keys in _KEYS.items() for key in keys if key in arrays}
    notes = [f"converted from {energy_unit} and {length_unit} to eV and A", *note_fixed_names(names, "MD17's npz")]
    if "lattice" in arrays:
        notes.append("periodic in the cell 'lattice'")
    return Contents(
        path,
        frames,
        read,
        held=[*arrays, *others],
        unused=[*others],
        notes=notes,
        fixed=True,
        missing=missing,
        others=unread,
    )


def how_to_get(path: Path) -> str:
    """Where a file of MD17 or revised MD17 that is not there can be had.

    Args:
        path: the file, by its published name (``md17_aspirin.npz``, ``rmd17_aspirin.npz``) or one made from it.

    Returns:
        the end of a message; empty for other files.
    """
    from torch_geometric.datasets import MD17

    family = path.name.split("_")[0]
    if path.suffix != ".npz" or family not in ("md17", "rmd17"):
        return ""
    if family == "md17":
        return f" Where there is a connection download {MD17.gdml_url}/{path.name} to {path}."
    parts = path.stem.split("_")
    molecule = "_".join(parts[:2])
    made = f", and take from it the frames of splits/index_{'_'.join(parts[2:])}.csv" if len(parts) > 2 else ""
    return (
        f" Where there is a connection download {MD17.revised_url} (revised MD17) and unpack npz_data/{molecule}.npz "
        f"to {path}{made}."
    )


def _load(path: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The arrays that are read, and the others; objects, which are never read, are empty there."""
    wanted = {key for keys in _KEYS.values() for key in keys} | {"e_unit", "r_unit", "packing", "lattice"}
    try:
        with zipfile.ZipFile(path) as archive:
            if (broken := archive.testzip()) is not None:  # names too, of arrays that nothing reads
                raise ValueError(f"the checksum of {broken} is wrong")
        with path.open("rb") as stream:
            file = np.load(stream, allow_pickle=False)
            others = {
                key: np.empty(0) for key in sorted(file.files) if key not in wanted and not key.startswith(_ABOUT)
            }
            for key in others:
                with contextlib.suppress(ValueError):
                    others[key] = file[key]
            return {key: file[key] for key in file.files if key in wanted}, others
    except (FileNotFoundError, PermissionError):
        raise
    except Exception as error:  # what zipfile and NumPy raise depends on the bytes
        raise ValueError(
            f"'path' must be a NumPy npz file, got {path}, which cannot be read as one (damaged?): {error}"
        ) from error


def _numbers(array: np.ndarray, name: str, path: Path) -> np.ndarray:
    """An array of whole or real numbers in float64, whatever its byte order."""
    keys = " / ".join(map(repr, _KEYS[name]))
    if array.dtype.kind not in "iuf":
        raise ValueError(f"{keys} must hold real numbers, got {array.dtype} in {path}.")
    values: np.ndarray = array.astype(np.float64)
    if name == "z" and not np.array_equal(values, np.rint(values)):
        raise ValueError(f"{keys} must hold atomic numbers, got {values[values != np.rint(values)][0]} in {path}.")
    return values


def _lattice(lattice: np.ndarray, path: Path) -> np.ndarray:
    """sGDML's tools write the vectors in rows or in columns."""
    if lattice.dtype.kind not in "iuf" or lattice.shape != (3, 3):
        raise ValueError(f"'lattice' must be 3 x 3 numbers, got {lattice.dtype} of shape {lattice.shape} in {path}.")
    if not np.allclose(lattice, lattice.T, atol=1e-8):
        raise ValueError(
            f"'lattice' must be symmetric, got {lattice.tolist()} in {path}, whose vectors may be its rows or its "
            "columns: write extended XYZ, which says so."
        )
    return lattice.astype(np.float64)[None]


def _unpack(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Undo the packing of the shipped sample, bit for bit: see the README of this folder."""
    if str(arrays["packing"]) != "int32":
        raise ValueError(f"'packing' must be 'int32', got {str(arrays['packing'])!r}: a newer file format.")
    hartree, bohr = 627.5094740631, 0.52917721092  # kcal/mol and A, the values that revised MD17 was made with
    coords, forces = arrays["coords"] / 1e8, arrays["forces"] / 1e9 * hartree / bohr
    return arrays | {"coords": coords, "forces": forces}


def _unit(
    arrays: dict[str, np.ndarray], path: Path, key: str, said: str | None, default: str, known: dict[str, str]
) -> str:
    """The unit that the file says, or else the user, or else that of MD17."""
    if key not in arrays:
        return said or default
    written = str(arrays[key])
    if written not in known:
        raise ValueError(f"{key!r} must be one of {', '.join(known)}, got {written!r} in {path}.")
    if said is not None and known[written] != said:
        raise ValueError(f"{key!r} of {path} is {written!r}, got {said!r}: leave the flag out, or correct the file.")
    return known[written]


def _check_shapes(named: dict[str, np.ndarray], path: Path) -> None:
    frames, atoms = len(named["pos"]), named["z"].size
    expected = {"z": (atoms,), "pos": (frames, atoms, 3), "forces": (frames, atoms, 3)}
    for name, array in named.items():
        fits = array.size == frames if name == "energy" else array.shape == expected[name]
        if not fits:
            raise ValueError(
                f"{' / '.join(map(repr, _KEYS[name]))} must fit {frames} frames of {atoms} atoms, "
                f"got shape {array.shape} in {path}."
            )
