"""Structures ready for a loader: checked once, with the edges found once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Literal, Protocol, runtime_checkable

import torch
from torch.utils.data import Dataset
from torch_geometric.data import Data

from pyg_mpnn.data.frames import FLOATS, NOTES, CheckedFrames, LabelShape, fill_labels, prepare_frames
from pyg_mpnn.data.labels import EnergyUnit
from pyg_mpnn.geometry import Backend, RadiusGraph, as_cutoffs


@runtime_checkable
class PreparedStructures(Protocol):
    """Structures that are checked and have edges, in memory or on the disk: nothing is checked or searched again."""

    @property
    def cutoffs(self) -> tuple[float, ...]:
        """Cutoffs of the edges in A."""

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the items."""

    @property
    def structures(self) -> Sequence[Data]:
        """The structures in the precision that they were given in, without edges; absent labels are absent."""

    @property
    def num_atoms(self) -> Sequence[int]:
        """Number of atoms of each."""

    @property
    def num_edges(self) -> Sequence[int]:
        """Number of edges of each."""

    def with_edges(self, index: int) -> Data:
        """One of :attr:`structures` with its edges."""

    def subset(self, places: Sequence[int]) -> PreparedStructures:
        """Some of the structures."""

    def __len__(self) -> int:
        """Number of structures."""

    def __getitem__(self, index: int) -> Data:
        """One structure for a batch: in the precision of the model, with edges, absent labels NaN."""


class StructureDataset(Dataset[Data]):
    """Structures with labels in the model's precision and neighbour lists, searched once; for PyG's ``DataLoader``.

    Takes the structures of :func:`read_structures` as well as PyG's own MD17 and QM9 (:func:`normalize_fields`).
    Positions and cells stay in float64, in which a potential takes differences. A label that some structures have is
    NaN (unknown) in the others.

    Args:
        frames: structures, at least one; energies and forces are optional.
        cutoff: cutoff of the model in A, positive; of several the largest counts.
        dtype: floating-point type of forces, stress and weight; all else is float64.
        backend: neighbour search, as in :class:`RadiusGraph`.
        units: unit of the energy labels, as in :func:`normalize_fields`.
        labels: further fields to keep, by name.

    Shapes:
        each item has ``z`` (nodes,), ``pos`` and ``forces`` (nodes, 3), ``energy`` (1,), ``edge_index`` (2, edges) and
        ``shifts`` (edges, 3); where any structure has them ``cell`` and ``stress`` (1, 3, 3), ``pbc`` (1, 3),
        ``weight`` (1,).

    Units:
        A, eV, eV/A, eV/A^3 with ASE's sign.

    Raises:
        ValueError: there are no frames, a frame has a missing, bad or misshapen field, or the neighbour search refuses
            a frame (coincident atoms); the message names the frame.

    Example:
        >>> from pyg_mpnn.data import ethanol
        >>> dataset = StructureDataset(ethanol("test")[:2], cutoff=5.0)
        >>> dataset[0].forces.dtype, dataset[0].energy.dtype
        (torch.float32, torch.float64)
    """

    def __init__(
        self,
        frames: Iterable[Data],
        cutoff: float | Sequence[float],
        *,
        dtype: torch.dtype = torch.float32,
        backend: Backend = "auto",
        units: Literal["pyg"] | EnergyUnit = "pyg",
        labels: Mapping[str, LabelShape] = MappingProxyType({}),
    ) -> None:
        attach = RadiusGraph(cutoff, backend=backend)
        self.cutoffs, self.dtype = as_cutoffs(cutoff), dtype
        self.structures: CheckedFrames = prepare_frames(frames, units, labels=labels)
        self.frames: list[Data] = []
        fields = {name for frame in self.structures for name in ("energy", "forces") if name in frame}
        for index, frame in enumerate(self.structures):
            item = Data(**{name: value for name, value in frame.to_dict().items() if name not in NOTES})
            fill_labels(item, fields)
            for name in ("pos", "cell", *FLOATS):
                if name in item:
                    item[name] = item[name].to(dtype if name in FLOATS else torch.float64)
            try:
                self.frames.append(attach(item))
            except ValueError as error:
                raise ValueError(f"frame {index}: {error}") from error

    def subset(self, places: Sequence[int]) -> StructureDataset:
        """Some of the structures; nothing is copied, checked or searched again.

        Args:
            places: of the structures.

        Returns:
            their data set.
        """
        part = object.__new__(type(self))
        part.cutoffs, part.dtype = self.cutoffs, self.dtype
        part.structures, part.frames = self.structures.take(places), [self.frames[place] for place in places]
        return part

    def with_edges(self, index: int) -> Data:
        """One structure in float64, or as it was given, with its edges.

        Args:
            index: place of the structure.

        Returns:
            the structure.
        """
        item = self.frames[index]
        edges = {name: item[name] for name in ("edge_index", "shifts", "cutoff") if name in item}
        return Data(**{**self.structures[index].to_dict(), **edges})

    @property
    def num_atoms(self) -> list[int]:
        """Number of atoms of each structure."""
        return [len(frame.z) for frame in self.frames]

    @property
    def num_edges(self) -> list[int]:
        """Number of edges of each structure."""
        return [frame.edge_index.shape[1] for frame in self.frames]

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> Data:
        return self.frames[index]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} structures)"


def each_with_edges(structures: PreparedStructures) -> Iterator[Data]:
    """The structures with their edges, one at a time: they may be on the disk."""
    for index in range(len(structures)):
        yield structures.with_edges(index)


def as_prepared(
    frames: Iterable[Data] | PreparedStructures,
    cutoffs: float | Sequence[float],
    dtype: torch.dtype,
    labels: Mapping[str, LabelShape] = MappingProxyType({}),
) -> PreparedStructures:
    """Structures for a model: those that are prepared for its largest cutoff and its precision as they are.

    Args:
        frames: structures, prepared or not.
        cutoffs: cutoffs of the model in A.
        dtype: precision of the model.
        labels: further fields to keep, where the structures are not prepared.

    Returns:
        the structures with edges.

    Raises:
        ValueError: as of :class:`StructureDataset`.
    """
    if isinstance(frames, PreparedStructures):
        if frames.cutoffs[-1] == as_cutoffs(cutoffs)[-1] and frames.dtype == dtype:
            return frames
        frames = frames.structures
    return StructureDataset(frames, cutoffs, dtype=dtype, labels=labels)
