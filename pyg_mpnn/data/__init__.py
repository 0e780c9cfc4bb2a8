"""Structures with energies and forces: reading, units, splits, reference energies, the shipped ethanol sample."""

from __future__ import annotations

from pyg_mpnn.data.baseline import subtract_baseline
from pyg_mpnn.data.convert import to_atoms, to_data
from pyg_mpnn.data.dataset import StructureDataset
from pyg_mpnn.data.distances import shortest_distances
from pyg_mpnn.data.fields import normalize_fields
from pyg_mpnn.data.fingerprint import data_hash
from pyg_mpnn.data.labels import LabelNames
from pyg_mpnn.data.qm9 import QM9, QM9_TARGETS, QM9Split, QM9Target, split_qm9
from pyg_mpnn.data.read import read_structures
from pyg_mpnn.data.reference import Reference, fit_reference
from pyg_mpnn.data.sample import ethanol
from pyg_mpnn.data.splits import split_frames
from pyg_mpnn.data.stream import StreamedDataset

__all__ = [
    "read_structures",
    "LabelNames",
    "ethanol",
    "QM9",
    "QM9_TARGETS",
    "QM9Target",
    "QM9Split",
    "split_qm9",
    "to_data",
    "to_atoms",
    "normalize_fields",
    "split_frames",
    "Reference",
    "fit_reference",
    "shortest_distances",
    "subtract_baseline",
    "StructureDataset",
    "StreamedDataset",
    "data_hash",
]
