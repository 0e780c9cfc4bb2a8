"""Files that PyTorch Geometric saves: the processed file of an in-memory data set, or a list of structures."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch_geometric.data import Data
from torch_geometric.data.data import DataEdgeAttr, DataTensorAttr
from torch_geometric.data.separate import separate
from torch_geometric.data.storage import BaseStorage, EdgeStorage, GlobalStorage, NodeStorage

from pyg_mpnn.data.convert import to_atoms
from pyg_mpnn.data.fields import normalize_fields
from pyg_mpnn.data.labels import LabelNames

if TYPE_CHECKING:
    import ase

UNITS = "kcal/mol where the forces are called 'force' (MD17), else eV; A"
_SAFE: list[Any] = [Data, DataEdgeAttr, DataTensorAttr, BaseStorage, EdgeStorage, GlobalStorage, NodeStorage]


def is_pyg(path: Path) -> bool:
    """Whether a file is one that torch.save writes, by its name."""
    return path.suffix == ".pt" and path.is_file()


def iterate_pyg(path: Path, names: LabelNames) -> Iterator[ase.Atoms]:
    """The structures of a file of PyG; no code of it runs.

    Args:
        path: ``processed/data.pt`` of an ``InMemoryDataset`` (fields joined, slices, class), or a list of ``Data`` or
            of mappings.
        names: of the fields of ``energy``, ``forces`` and ``stress``, where they have others.

    Yields:
        structures in eV and A; fields besides are left out.

    Raises:
        ValueError: the file is damaged, of another content, holds code, or a structure has no ``z`` and ``pos``.
    """
    try:
        known = torch.serialization.get_safe_globals()  # of PyG, which the end of the context would take away
        with torch.serialization.safe_globals([kind for kind in _SAFE if kind not in known]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, AttributeError, KeyError) as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        why = f"needs {named[1]}" if named else str(error).splitlines()[0]
        raise ValueError(
            f"'path' must be a file of PyG's structures without code of its own, got {path}, which {why}; it is read "
            "with weights_only, so that no code in it runs."
        ) from error
    for index, frame in enumerate(_structures(content, path)):
        for label, name in names.given.items():
            if name in frame and label != name:
                frame[label] = frame[name]
        try:
            found = normalize_fields(frame, "pyg")
        except ValueError as error:
            raise ValueError(f"frame {index} of {path}: {error}") from error
        atoms = to_atoms(found)
        given = {name: value for name, value in frame.to_dict().items() if isinstance(value, torch.Tensor)}
        for name in set(given) - {"z", "pos", "cell", "pbc", "energy", "forces", "force", "stress", "weight"}:
            value = given[name].detach().cpu().numpy()
            if len(value.shape) and value.shape[0] == len(atoms):
                atoms.arrays[name] = value
            elif "edge" not in name:
                atoms.info[name] = value.item() if value.size == 1 else value
        yield atoms


def _structures(content: Any, path: Path) -> Iterator[Data]:
    if isinstance(content, (list, tuple)) and content and all(isinstance(item, (Data, dict)) for item in content):
        pair = isinstance(content, tuple) and len(content) == 2 and isinstance(content[1], dict)
        if not pair:
            yield from (Data(**dict(item.items() if isinstance(item, dict) else item.to_dict())) for item in content)
            return
    if not isinstance(content, Sequence) or len(content) not in (2, 3) or not isinstance(content[1], dict):
        kind = type(content).__name__
        raise ValueError(f"'path' must hold a list of structures, or joined fields with slices, got {kind} in {path}.")
    joined, slices = content[0], content[1]
    joined = joined if isinstance(joined, Data) else Data(**joined)
    count = len(next(iter(slices.values()))) - 1
    for index in range(count):
        yield separate(Data, batch=joined, idx=index, slice_dict=slices, decrement=False)
