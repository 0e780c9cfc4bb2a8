"""DeePMD's folders of npy files: many frames of one system."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch_geometric.data import Data

from pyg_mpnn.data.contents import Contents, note_fixed_names
from pyg_mpnn.data.labels import LabelNames

_PARTS: dict[str, Callable[[int], tuple[int, ...]]] = {  # of a frame of so many atoms
    "coord": lambda atoms: (atoms, 3),
    "box": lambda atoms: (3, 3),
    "energy": lambda atoms: (),
    "force": lambda atoms: (atoms, 3),
    "virial": lambda atoms: (3, 3),
    "real_atom_types": lambda atoms: (atoms,),  # of frames of other atoms, -1 where there is none
}


def is_deepmd(path: Path) -> bool:
    """Whether a path is a folder of DeePMD.

    Args:
        path: the path.

    Returns:
        whether it has ``type.raw`` and ``set.*``.
    """
    return path.is_dir() and (path / "type.raw").is_file() and any(path.glob("set.*"))


def read_deepmd(path: Path, dtype: torch.dtype, names: LabelNames, keep: bool = True) -> Contents:
    """Read a folder of DeePMD: ``type.raw``, ``type_map.raw``, and ``coord``, ``box``, ``energy``, ``force``,
    ``virial`` in each ``set.*``. With ``real_atom_types`` the frames of a set are of different atoms.

    Args:
        path: the folder; with a file ``nopbc`` in it nothing is periodic.
        dtype: floating-point type of all but the energy.
        names: names of labels do not count, units are refused: the format has its own.
        keep: not used: the arrays are read as a whole.

    Returns:
        what the folder holds; the stress is minus the virial over the volume.

    Raises:
        ValueError: a file is missing or does not fit the others, or a type is no element.
    """
    from ase.data import atomic_numbers

    if names.energy_unit or names.length_unit:
        raise ValueError(f"units must be left out for {path}: DeePMD's are eV and A.")
    if not (path / "type_map.raw").is_file():
        raise ValueError(
            f"'path' must hold type_map.raw, which says what the types are, got {path} without it: add it."
        )
    symbols = (path / "type_map.raw").read_text().split()
    types = np.array([int(word) for word in (path / "type.raw").read_text().split()])

    def elements(kinds: np.ndarray, where: object) -> np.ndarray:
        """Atomic numbers of types; 0 for the type -1 of places without an atom."""
        wrong = [kind for kind in kinds.ravel().tolist() if kind != -1 and not _is_element(kind, symbols)]
        if wrong or not kinds.size:
            raise ValueError(f"types must be places of elements in {symbols}, got {wrong[:5] or 'none'} in {where}.")
        known: np.ndarray = np.array([*(atomic_numbers.get(symbol, 0) for symbol in symbols), 0])
        return np.take(known, kinds)

    usual = elements(types, path)
    frames: list[Data] = []
    others: set[str] = set()
    for folder in sorted(path.glob("set.*")):
        arrays = _read_set(folder, len(types), periodic=not (path / "nopbc").exists())
        others |= {file.name for file in folder.glob("*.npy") if file.stem not in _PARTS}
        own = arrays.pop("real_atom_types", None)
        frames += _frames(usual if own is None else elements(own.astype(np.int64), folder), arrays, dtype)
    read = {"energy": "energy.npy", "forces": "force.npy", "stress": "-virial.npy / volume"}
    notes = ["in DeePMD's units (eV, A)", *note_fixed_names(names, "DeePMD")]
    return Contents(path, frames, read, held=[*read.values(), *others], unused=sorted(others), notes=notes, fixed=True)


def _is_element(kind: int, symbols: list[str]) -> bool:
    from ase.data import atomic_numbers

    return 0 <= kind < len(symbols) and symbols[kind] in atomic_numbers


def _read_set(folder: Path, atoms: int, periodic: bool) -> dict[str, np.ndarray]:
    arrays = {}
    for name, shape in _PARTS.items():
        file = folder / f"{name}.npy"
        if not file.is_file() or (name in ("box", "virial") and not periodic):
            if name == "coord" or (name == "box" and periodic):
                raise ValueError(f"'path' must hold {name}.npy in each set, got {folder} without it.")
            continue
        try:
            found = np.load(file, allow_pickle=False).astype(np.float64)
            arrays[name] = found.reshape(len(found), *shape(atoms))
        except (ValueError, EOFError, MemoryError) as error:
            raise ValueError(
                f"'path' must hold arrays for {atoms} atoms, got {file}: {error}; frames of other atoms "
                "go into a folder of their own, or have real_atom_types.npy."
            ) from error
    if len({len(array) for array in arrays.values()}) > 1:
        numbers = {name: len(array) for name, array in arrays.items()}
        raise ValueError(f"'path' must hold as many frames in each array of a set, got {numbers} in {folder}.")
    return arrays


def _frames(elements: np.ndarray, arrays: dict[str, np.ndarray], dtype: torch.dtype) -> list[Data]:
    frames = []
    for k in range(len(arrays["coord"])):
        z = elements if elements.ndim == 1 else elements[k]
        there = z > 0
        frame = Data(z=torch.as_tensor(z[there]), pos=torch.as_tensor(arrays["coord"][k][there]).to(dtype))
        if "box" in arrays:
            frame.cell, frame.pbc = (
                torch.as_tensor(arrays["box"][k][None]).to(dtype),
                torch.ones(1, 3, dtype=torch.bool),
            )
        if "energy" in arrays:
            frame.energy = torch.as_tensor(arrays["energy"][k].reshape(1))
        if "force" in arrays:
            frame.forces = torch.as_tensor(arrays["force"][k][there]).to(dtype)
        if "virial" in arrays:
            stress = -arrays["virial"][k] / abs(np.linalg.det(arrays["box"][k]))
            frame.stress = torch.as_tensor(stress[None]).to(dtype)
        frames.append(frame)
    return frames
