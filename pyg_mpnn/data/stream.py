"""Structures that do not fit into memory: read from the disk one by one, with neighbour lists found once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset
from torch_geometric.data import Data

from pyg_mpnn.data.convert import require_ase, to_data
from pyg_mpnn.data.frames import FILL, check_frame
from pyg_mpnn.data.labels import LabelNames, missing_label
from pyg_mpnn.data.read import iterate_rows
from pyg_mpnn.data.store import import_lmdb, lock, read_index, read_store, write_store
from pyg_mpnn.data.xyz import check_whole
from pyg_mpnn.geometry import RadiusGraph, as_cutoffs

_FORMAT = 2
_LABELS = ("energy", "forces")
_FLOATS = ("forces", "stress", "weight")


class StreamedDataset(Dataset[Data]):
    """Structures of a file, streamed from the disk with their neighbour lists, for PyG's ``DataLoader``.

    The first use goes once through the file (ASE database, extended XYZ, trajectory), one structure at a time, and
    writes each, checked and with its edges, to an LMDB folder beside it. Later uses, and all epochs and workers, read
    only that. The folder belongs to the content of the file (SHA-256), the cutoffs, the dtype and the names of labels:
    where the file has changed, the folder is stale and is made anew, which is announced. Items are those of
    :class:`StructureDataset` on the same structures, to the last bit; memory does not grow with their number but for
    two integers each.

    Args:
        path: the file. Every structure must have an energy and forces.
        cutoff: cutoff of the model in A, or several, increasing.
        dtype: floating-point type of forces, stress and weight; all else is float64.
        labels: what the labels are called where they have other names, as for :func:`read_structures`.
        cache: folder to write to; by default the name of the file with cutoffs, dtype and a hash of ``labels``, where
            there are any, beside it.

    Shapes:
        as :class:`StructureDataset`.

    Units:
        A, eV, eV/A, eV/A^3 with ASE's sign.

    Raises:
        FileNotFoundError: there is no such file.
        ImportError: ASE or lmdb is not installed.
        ValueError: the file holds no structure, or one that :func:`read_structures` refuses; the message names it.

    Source:
        own design; LMDB (https://www.symas.com/lmdb) by its Python binding.

    Example:
        >>> import tempfile, ase.io
        >>> from pyg_mpnn.data import ethanol, to_atoms
        >>> path = tempfile.mkdtemp() + "/ethanol.db"
        >>> ase.io.write(path, [to_atoms(frame) for frame in ethanol("test")[:3]])
        >>> StreamedDataset(path, 5.0)[2].edge_index.shape
        torch.Size([2, 72])
    """

    def __init__(
        self,
        path: str | Path,
        cutoff: float | Sequence[float],
        *,
        dtype: torch.dtype = torch.float32,
        labels: LabelNames | None = None,
        cache: str | Path | None = None,
    ) -> None:
        import_lmdb()
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f"'path' must be a file, got {str(path)!r}, which is none: check the name.")
        self.cutoffs, self.dtype, self.labels = as_cutoffs(cutoff), dtype, labels
        name = str(dtype).removeprefix("torch.")
        radii = "-".join(f"{radius:g}" for radius in self.cutoffs)
        names = {} if labels is None else labels.given
        of_names = f"-{hashlib.sha256(json.dumps(names).encode()).hexdigest()[:8]}" if names else ""
        default = self.path.with_name(f"{self.path.name}.{radii}A-{name}{of_names}.lmdb")
        self.cache = default if cache is None else Path(cache)
        key = {"format": _FORMAT, "sha256": _file_hash(self.path), "cutoffs": list(self.cutoffs), "dtype": name}
        if names:
            key["labels"] = names
        index = read_index(self.cache)
        if index is None or index["key"] != key:
            with lock(self.cache):
                index = read_index(self.cache)  # another process may have made it meanwhile
                if index is None or index["key"] != key:
                    if index is not None:
                        print(
                            f"{self.cache} is of other content, cutoff, dtype or labels than {self.path}: made anew",
                            flush=True,
                        )
                    self._build(key)
                    index = read_index(self.cache)
        assert index is not None
        self.num_atoms: list[int] = index["num_atoms"]
        self.num_edges: list[int] = index["num_edges"]
        self._fields: list[str] = index["fields"]

    def _build(self, key: dict[str, Any]) -> None:
        index: dict[str, Any] = {"key": key, "num_atoms": [], "num_edges": [], "fields": []}
        write_store(self.cache, self._prepare(index), index)

    def _prepare(self, index: dict[str, Any]) -> Iterator[dict[str, torch.Tensor]]:
        """The structures of the file, checked and with edges, counted in the index."""
        check_whole(self.path)
        attach = RadiusGraph(self.cutoffs)
        for number, frame in enumerate(_iterate(self.path, self.labels)):
            where = f"frame {number} of {self.path}"
            check_frame(frame, where, _LABELS)
            try:
                found = attach(frame)
            except ValueError as error:
                raise ValueError(f"{where}: {error}") from error
            index["num_atoms"].append(len(frame.z))
            index["num_edges"].append(int(found.edge_index.shape[1]))
            index["fields"] = sorted({*index["fields"], *(name for name in FILL if name in frame)})
            yield _pack(frame, found)
        if not index["num_atoms"]:
            raise ValueError(f"'path' must hold at least one structure, got none in {self.path}.")

    def read(self, index: int) -> Data:
        """One structure as the file has it, in float64 and without edges.

        Args:
            index: place in the file, from 0.

        Returns:
            the structure.
        """
        stored = self._get(index)
        return Data(**{name: value for name, value in stored.items() if name not in ("edge_index", "shifts")})

    def _get(self, index: int) -> dict[str, torch.Tensor]:
        if not 0 <= index < len(self):
            raise IndexError(f"'index' must be at least 0 and below {len(self)}, got {index}.")
        stored = read_store(self.cache, index)
        for name in self._fields:
            if name not in stored:
                shape, fill = FILL[name]
                stored[name] = torch.full(shape, fill, dtype=torch.bool if name == "pbc" else torch.float64)
        for name in ("edge_index", "shifts"):
            if name in stored:
                stored[name] = stored[name].long()
        return stored

    def __len__(self) -> int:
        return len(self.num_atoms)

    def __getitem__(self, index: int) -> Data:
        stored = self._get(index)
        items = {name: value.to(self.dtype) if name in _FLOATS else value for name, value in stored.items()}
        return Data(**items, cutoff=self.cutoffs[-1])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r}, {len(self)} structures)"


class StreamedFrames(Sequence[Data]):
    """Some structures of a :class:`StreamedDataset`, in float64 and without edges, read when they are asked for.

    Args:
        dataset: all structures.
        indices: places of those that are meant; all by default.
    """

    def __init__(self, dataset: StreamedDataset, indices: Sequence[int] | None = None) -> None:
        self.dataset = dataset
        self.indices = list(range(len(dataset)) if indices is None else indices)

    def prepared(self) -> StreamedSubset:
        """The same structures for a loader, with edges and in the dtype of the data set."""
        return StreamedSubset(self.dataset, self.indices)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return StreamedFrames(self.dataset, self.indices[index])
        return self.dataset.read(self.indices[index])


class StreamedSubset(Dataset[Data]):
    """Some structures of a :class:`StreamedDataset`, for PyG's ``DataLoader``.

    Args:
        dataset: all structures.
        indices: places of those that are meant.
    """

    def __init__(self, dataset: StreamedDataset, indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, list(indices)

    @property
    def num_atoms(self) -> list[int]:
        """Number of atoms of each structure."""
        return [self.dataset.num_atoms[index] for index in self.indices]

    @property
    def num_edges(self) -> list[int]:
        """Number of edges of each structure."""
        return [self.dataset.num_edges[index] for index in self.indices]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Data:
        return self.dataset[self.indices[index]]


def _iterate(path: Path, labels: LabelNames | None) -> Iterator[Data]:
    """The structures of a file, one in memory at a time."""
    require_ase(f"reading {path.name}")
    import ase.io

    images: Iterator[Any] = iterate_rows(path) if path.suffix == ".db" else ase.io.iread(path, index=":")
    number = 0
    while True:
        try:
            atoms = next(images)
            frame = to_data(atoms, labels=labels)
        except StopIteration:
            return
        except Exception as error:  # each of ASE's readers fails in its own way
            raise ValueError(f"frame {number} of {path} must be readable by ASE, got {error}") from error
        missing = missing_label(atoms, frame, _LABELS, f"frame {number} of {path}", labels)
        if missing is not None:
            raise ValueError(missing)
        yield frame
        number += 1


def _pack(frame: Data, found: Data) -> dict[str, torch.Tensor]:
    content: dict[str, torch.Tensor] = frame.to_dict()
    content |= {"edge_index": found.edge_index.int(), "shifts": found.shifts.short()}
    return content


def _file_hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(2**20):
            digest.update(block)
    return digest.hexdigest()
