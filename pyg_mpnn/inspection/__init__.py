"""A look at structures before training on them: units, signs, outliers, duplicates, cost."""

from __future__ import annotations

from pyg_mpnn.inspection.advice import Advice, advise
from pyg_mpnn.inspection.consistency import check_consistency, check_stress
from pyg_mpnn.inspection.finding import Finding
from pyg_mpnn.inspection.jumps import check_jumps
from pyg_mpnn.inspection.learning_curve import extrapolate, learning_curve
from pyg_mpnn.inspection.report import Inspection, inspect_frames, load_labelled
from pyg_mpnn.inspection.structures import check_composition, check_distances, check_neighbors
from pyg_mpnn.inspection.suspects import check_duplicates, check_outliers
from pyg_mpnn.inspection.training_time import check_training_time
from pyg_mpnn.inspection.units import check_energy_units, check_force_units

__all__ = [
    "inspect_frames",
    "load_labelled",
    "Inspection",
    "Finding",
    "Advice",
    "advise",
    "check_composition",
    "check_distances",
    "check_energy_units",
    "check_force_units",
    "check_consistency",
    "check_stress",
    "check_jumps",
    "check_outliers",
    "check_duplicates",
    "check_neighbors",
    "check_training_time",
    "learning_curve",
    "extrapolate",
]
