"""A look at structures before training on them: units, signs, outliers, duplicates, cost."""

from __future__ import annotations

from pyg_mpnn.inspection.composition import check_composition
from pyg_mpnn.inspection.consistency import check_consistency
from pyg_mpnn.inspection.distances import check_distances
from pyg_mpnn.inspection.duplicates import check_duplicates
from pyg_mpnn.inspection.energy_units import check_energy_units
from pyg_mpnn.inspection.finding import Finding
from pyg_mpnn.inspection.force_units import check_force_units
from pyg_mpnn.inspection.load import load_labelled
from pyg_mpnn.inspection.neighbors import check_neighbors
from pyg_mpnn.inspection.outliers import check_outliers
from pyg_mpnn.inspection.report import Inspection, inspect_frames
from pyg_mpnn.inspection.stress import check_stress
from pyg_mpnn.inspection.training_time import check_training_time

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
