"""Structures ready for a loader: checked, converted, with their edges."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Literal

import torch
from torch.utils.data import Dataset
from torch_geometric.data import Data

from pyg_mpnn.data.fields import EnergyUnit
from pyg_mpnn.data.frames import LabelShape, prepare_frames
from pyg_mpnn.geometry import Backend, RadiusGraph


class StructureDataset(Dataset[Data]):
    """Structures with labels in the model's precision and neighbour lists, searched once; for PyG's ``DataLoader``.

    Takes the structures of :func:`read_structures` as well as PyG's own MD17 and QM9 (:func:`normalize_fields`).
    Positions and cells stay in float64, in which a potential takes differences.

    Args:
        frames: structures, at least one; energies and forces are optional, but then absent from all.
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
        ValueError: there are no frames, a frame has a missing, bad or misshapen field, labels are in some frames only,
            or the neighbour search refuses a frame (coincident atoms); the message names the frame.

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
        self.frames = prepare_frames(frames, units, labels=labels)
        for index, frame in enumerate(self.frames):
            for name in ("pos", "cell", "forces", "stress", "weight"):
                if name in frame:
                    frame[name] = frame[name].to(torch.float64 if name in ("pos", "cell") else dtype)
            try:
                self.frames[index] = attach(frame)
            except ValueError as error:
                raise ValueError(f"frame {index}: {error}") from error

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
