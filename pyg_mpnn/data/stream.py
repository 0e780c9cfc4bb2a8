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

from pyg_mpnn.data.contents import refuse_typos
from pyg_mpnn.data.formats import Format, find_format
from pyg_mpnn.data.frames import FILL, FLOATS, NOTES, fill_labels
from pyg_mpnn.data.labels import LABELS, LabelNames
from pyg_mpnn.data.store import check_store, import_lmdb, lock, read_index, read_store, write_store
from pyg_mpnn.geometry import RadiusGraph, as_cutoffs

_FORMAT = 3  # 1: edges of rounded positions; 2: no summary of the labels
_FILLED = (*FILL, *LABELS[:2])


class StreamedDataset(Dataset[Data]):
    """Structures of a file, streamed from the disk with their neighbour lists, for PyG's ``DataLoader``.

    The first use goes twice through the file (ASE database, extended XYZ, trajectory), one structure at a time: to see
    what its labels are called, and to write each, checked and with its edges, to an LMDB folder beside it. Later uses,
    and all epochs and workers, read only that. The folder belongs to the content of the file (SHA-256), the cutoffs,
    the dtype and what ``labels`` says: where the file has changed, the folder is stale and is made anew, which is
    announced. Items are those of :class:`StructureDataset` on the same structures, to the last bit; memory does not
    grow with their number but for two integers each.

    Args:
        path: the file. A label that some structures have is NaN (unknown) in the others.
        cutoff: cutoff of the model in A, or several, increasing.
        dtype: floating-point type of forces, stress and weight; all else is float64.
        labels: what the file does not say, as for :func:`read_structures`.
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
        kind = find_format(self.path)
        self.cutoffs, self.dtype, self.labels = as_cutoffs(cutoff), dtype, labels or LabelNames()
        name = str(dtype).removeprefix("torch.")
        radii = "-".join(f"{radius:g}" for radius in self.cutoffs)
        said = self.labels.key
        of_names = f"-{hashlib.sha256(json.dumps(said).encode()).hexdigest()[:8]}" if said else ""
        default = self.path.with_name(f"{self.path.name}.{radii}A-{name}{of_names}.lmdb")
        self.cache = default if cache is None else Path(cache)
        key = {"format": _FORMAT, "sha256": _file_hash(self.path), "cutoffs": list(self.cutoffs), "dtype": name}
        if said:
            key["labels"] = said
        key = json.loads(json.dumps(key))
        index = read_index(self.cache)
        if index is None or index.get("key") != key:
            with lock(self.cache):
                index = read_index(self.cache)  # another process may have made it meanwhile
                if index is None or index.get("key") != key:
                    if index is not None:
                        print(
                            f"{self.cache} is of other content, cutoff, dtype or labels than {self.path}: made anew",
                            flush=True,
                        )
                    self._build(kind, key)
                    index = read_index(self.cache)
        assert index is not None
        self.num_atoms: list[int] = index["num_atoms"]
        self.num_edges: list[int] = index["num_edges"]
        self.summary: dict[str, Any] = index["summary"]
        self._fields: list[str] = index["fields"]
        check_store(self.cache, len(self.num_atoms))

    @property
    def structures(self) -> StreamedFrames:
        """The structures as the file has them, in float64 and without edges."""
        return StreamedFrames(self)

    def subset(self, places: Sequence[int]) -> StreamedSubset:
        """Some of the structures.

        Args:
            places: of the structures.

        Returns:
            their data set.
        """
        return StreamedSubset(self, places)

    def _build(self, kind: Format, key: dict[str, Any]) -> None:
        index: dict[str, Any] = {"key": key, "num_atoms": [], "num_edges": [], "fields": []}
        write_store(self.cache, self._prepare(kind, index), index)

    def _prepare(self, kind: Format, index: dict[str, Any]) -> Iterator[dict[str, torch.Tensor]]:
        """The structures of the file, checked and with edges, counted in the index."""
        attach = RadiusGraph(self.cutoffs)
        found = kind.read(self.path, torch.float64, self.labels, False)
        refuse_typos([found], self.labels)
        for number, frame in enumerate(found.checked(LABELS)):
            try:
                attached = attach(Data(**frame.to_dict()))
            except ValueError as error:
                raise ValueError(f"frame {number} of {self.path}: {error}") from error
            index["num_atoms"].append(len(frame.z))
            index["num_edges"].append(int(attached.edge_index.shape[1]))
            index["fields"] = sorted({*index["fields"], *(name for name in _FILLED if name in frame)})
            yield _pack(frame, attached)
        index["summary"] = found.summary()

    def read(self, index: int) -> Data:
        """One structure as the file has it, in float64 and without edges.

        Args:
            index: place in the file, from 0.

        Returns:
            the structure.
        """
        return _without(self.with_edges(index), ("edge_index", "shifts", "cutoff"))

    def with_edges(self, index: int) -> Data:
        """One structure as the file has it, in float64, with its edges.

        Args:
            index: place in the file, from 0.

        Returns:
            the structure.
        """
        return Data(**self._get(index), cutoff=self.cutoffs[-1])

    def _get(self, index: int) -> dict[str, torch.Tensor]:
        if not 0 <= index < len(self):
            raise IndexError(f"'index' must be at least 0 and below {len(self)}, got {index}.")
        stored = read_store(self.cache, index)
        for name in self._fields:
            if name in FILL and name not in stored:
                shape, fill = FILL[name]
                stored[name] = torch.full(shape, fill, dtype=torch.bool if name == "pbc" else torch.float64)
        for name in ("edge_index", "shifts"):
            if name in stored:
                stored[name] = stored[name].long()
        return stored

    def __len__(self) -> int:
        return len(self.num_atoms)

    def __getitem__(self, index: int) -> Data:
        item = _without(self.with_edges(index), NOTES)
        fill_labels(item, [name for name in LABELS[:2] if name in self._fields])
        for name in FLOATS:
            if name in item:
                item[name] = item[name].to(self.dtype)
        return item

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
    def cutoffs(self) -> tuple[float, ...]:
        """Cutoffs of the edges in A."""
        return self.dataset.cutoffs

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the items."""
        return self.dataset.dtype

    @property
    def structures(self) -> StreamedFrames:
        """The structures as the file has them, in float64 and without edges."""
        return StreamedFrames(self.dataset, self.indices)

    def subset(self, places: Sequence[int]) -> StreamedSubset:
        """Some of the structures."""
        return StreamedSubset(self.dataset, [self.indices[place] for place in places])

    def with_edges(self, index: int) -> Data:
        """One structure as the file has it, in float64, with its edges."""
        return self.dataset.with_edges(self.indices[index])

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


def _without(frame: Data, names: Sequence[str]) -> Data:
    for name in names:
        if name in frame:
            del frame[name]
    return frame


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
