"""A look at structures before training on them: units, signs, outliers, duplicates, cost."""

from __future__ import annotations

from pyg_mpnn.inspect.composition import check_composition
from pyg_mpnn.inspect.consistency import check_consistency
from pyg_mpnn.inspect.distances import check_distances
from pyg_mpnn.inspect.duplicates import check_duplicates
from pyg_mpnn.inspect.energy_units import check_energy_units
from pyg_mpnn.inspect.finding import Finding
from pyg_mpnn.inspect.force_units import check_force_units
from pyg_mpnn.inspect.load import load_labelled
from pyg_mpnn.inspect.neighbors import check_neighbors
from pyg_mpnn.inspect.outliers import check_outliers
from pyg_mpnn.inspect.report import Inspection, inspect_frames
from pyg_mpnn.inspect.stress import check_stress
from pyg_mpnn.inspect.training_time import check_training_time

__all__ = [
    "inspect_frames",
    "load_labelled",
    "Inspection",
    "Finding",
    "check_composition",
    "check_distances",
    "check_energy_units",
    "check_force_units",
    "check_consistency",
    "check_stress",
    "check_outliers",
    "check_duplicates",
    "check_neighbors",
    "check_training_time",
]
