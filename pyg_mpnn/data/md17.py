"""The npz files of MD17, revised MD17 and sGDML: many frames of one molecule."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch_geometric.data import Data

from pyg_mpnn.data.fields import EV

# our name: (name in revised MD17, name in MD17 and sGDML)
_KEYS = {
    "z": ("nuclear_charges", "z"),
    "pos": ("coords", "R"),
    "energy": ("energies", "E"),
    "forces": ("forces", "F"),
}


def read_md17(path: Path, dtype: torch.dtype) -> list[Data]:
    """Read the frames of one molecule from an npz file.

    Keys of revised MD17 (``nuclear_charges``, ``coords``, ``energies``, ``forces``) or of MD17 and sGDML (``z``, ``R``,
    ``E``, ``F``). Energies are in kcal/mol unless the file says otherwise (sGDML's ``e_unit``, ``r_unit``).

    Args:
        path: the file.
        dtype: floating-point type of positions and forces; they are converted in float64.

    Returns:
        One structure a frame, with the labels that the file has, in eV and A.

    Raises:
        ValueError: not an npz file, positions or elements missing, arrays that do not fit each other, unknown units.
    """
    arrays = _load(path)
    if "packing" in arrays:
        arrays = _unpack(arrays)
    unit = EV[_energy_unit(arrays, path)]
    named = {name: arrays[key] for name, keys in _KEYS.items() for key in keys if key in arrays}
    for name in ("z", "pos"):
        if name not in named:
            raise ValueError(
                f"'path' must hold the array {' or '.join(map(repr, _KEYS[name]))}, got only "
                f"{', '.join(arrays) or 'none that MD17 files have'} in {path}."
            )
    _check_shapes(named, path)
    z = torch.as_tensor(named["z"].astype(np.int64))
    frames = [Data(z=z, pos=pos) for pos in torch.as_tensor(named["pos"]).to(dtype)]
    if "energy" in named:
        for frame, energy in zip(frames, torch.as_tensor(named["energy"].reshape(-1, 1) * unit), strict=True):
            frame.energy = energy
    if "forces" in named:
        for frame, forces in zip(frames, torch.as_tensor(named["forces"] * unit).to(dtype), strict=True):
            frame.forces = forces
    return frames


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


def _load(path: Path) -> dict[str, np.ndarray]:
    wanted = {key for keys in _KEYS.values() for key in keys} | {"e_unit", "r_unit", "packing"}
    try:
        with path.open("rb") as stream:
            file = np.load(stream, allow_pickle=False)
            if isinstance(file, np.ndarray):
                raise ValueError("it is one array without a name")
            return {key: file[key] for key in file.files if key in wanted}
    except (ValueError, EOFError, zipfile.BadZipFile, pickle.UnpicklingError) as error:
        raise ValueError(
            f"'path' must be a NumPy npz file, got {path}, which cannot be read as one: {error}"
        ) from error


def _unpack(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Undo the packing of the shipped sample, bit for bit: see the README of this folder."""
    if str(arrays["packing"]) != "int32":
        raise ValueError(f"'packing' must be 'int32', got {str(arrays['packing'])!r}: a newer file format.")
    hartree, bohr = 627.5094740631, 0.52917721092  # kcal/mol and A, the values that revised MD17 was made with
    coords, forces = arrays["coords"] / 1e8, arrays["forces"] / 1e9 * hartree / bohr
    return arrays | {"coords": coords, "forces": forces}


def _energy_unit(arrays: dict[str, np.ndarray], path: Path) -> str:
    energy = str(arrays.get("e_unit", "kcal/mol"))
    length = str(arrays.get("r_unit", "Ang"))
    if energy not in EV or length != "Ang":
        raise ValueError(
            f"'e_unit' must be one of {', '.join(EV)} and 'r_unit' 'Ang', got {energy!r} and {length!r} in {path}."
        )
    return energy


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
