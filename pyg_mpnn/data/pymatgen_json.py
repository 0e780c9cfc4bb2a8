"""JSON with pymatgen's structures and what VASP computed for them, as in the data sets of mlearn and SNAP."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch_geometric.data import Data

from pyg_mpnn.data.contents import Contents, note_fixed_names
from pyg_mpnn.data.labels import LabelNames
from pyg_mpnn.units import GPA

KBAR = 0.1 * GPA
_ORDER = ((0, 0), (1, 1), (2, 2), (0, 1), (1, 2), (0, 2))  # VASP: xx, yy, zz, xy, yz, zx
_STRESS = ("stress", "virial_stress")


def is_pymatgen(path: Path) -> bool:
    """Whether a file is JSON with pymatgen's structures.

    Args:
        path: the file.

    Returns:
        whether it is, by its name and first 100,000 characters.
    """
    if path.suffix != ".json" or not path.is_file():
        return False
    with path.open(encoding="utf-8", errors="replace") as file:
        return "pymatgen.core.structure" in file.read(100_000)


def read_pymatgen(path: Path, dtype: torch.dtype, names: LabelNames, keep: bool = True) -> Contents:
    """Read a list of entries with ``structure`` and ``outputs`` (``energy``, ``forces``, ``stress``).

    Args:
        path: the file.
        dtype: floating-point type of all but the energy.
        names: names of labels do not count, units are refused: the format has its own.
        keep: not used: the file is read as a whole.

    Returns:
        what the file holds; VASP's stress in kbar, positive under pressure, has its sign changed.

    Raises:
        ValueError: the file is damaged, or an entry has no such structure; the message names it.
    """
    if names.energy_unit or names.length_unit:
        raise ValueError(f"units must be left out for {path}: those of pymatgen's JSON are eV, A and kbar.")
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"'path' must be JSON, got {path}: {error}") from error
    frames, held = [], set()
    for index, entry in enumerate(entries if isinstance(entries, list) else [entries]):
        try:
            frames.append(_read_entry(entry, dtype))
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ValueError(
                f"frame {index} of {path} must be a structure of pymatgen with 'outputs', got {type(error).__name__}: "
                f"{error}"
            ) from error
        held |= set(entry.get("outputs", {}))
    read = {"energy": "energy", "forces": "forces", "stress": next((f"-{n}" for n in _STRESS if n in held), "-stress")}
    unused = sorted(held - {"energy", "forces", *_STRESS})
    notes = [
        "in eV and A, the stress from VASP's kbar (positive under pressure) to ASE's sign",
        *note_fixed_names(names, "pymatgen's JSON"),
    ]
    return Contents(path, frames, read, held=held, unused=unused, notes=notes, fixed=True)


def _read_entry(entry: dict[str, Any], dtype: torch.dtype) -> Data:
    from ase.data import atomic_numbers

    structure, outputs = entry["structure"], entry.get("outputs", {})
    species = [site["species"] for site in structure["sites"]]
    if any(len(kinds) != 1 or kinds[0]["occu"] != 1 for kinds in species):
        raise ValueError("a site with several elements")
    data = Data(
        z=torch.tensor([atomic_numbers[kinds[0]["element"]] for kinds in species]),
        pos=torch.tensor([site["xyz"] for site in structure["sites"]], dtype=torch.float64).to(dtype),
    )
    if "lattice" in structure:
        data.cell = torch.tensor(structure["lattice"]["matrix"], dtype=torch.float64)[None].to(dtype)
        data.pbc = torch.tensor([structure["lattice"].get("pbc", [True] * 3)])
    if "energy" in outputs:
        data.energy = torch.tensor([float(outputs["energy"])], dtype=torch.float64)
    if "forces" in outputs:
        data.forces = torch.tensor(outputs["forces"], dtype=torch.float64).to(dtype)
    stress = next((outputs[name] for name in _STRESS if name in outputs), None)
    if stress is not None and "lattice" in structure:
        data.stress = torch.as_tensor(_full(stress)).to(dtype)
    return data


def _full(stress: Any) -> np.ndarray:
    values = -KBAR * np.array(stress, dtype=np.float64)
    if values.shape == (3, 3):
        return values[None]
    if values.shape != (6,):
        raise ValueError(f"a stress of shape {values.shape}")
    full = np.empty((1, 3, 3))
    for value, (row, column) in zip(values, _ORDER, strict=True):
        full[0, row, column] = full[0, column, row] = value
    return full
