"""The laws that an interatomic potential and its parts obey, as plain functions for any callable."""

from __future__ import annotations

from pyg_mpnn.testing.copies import assert_copies_law, assert_reset_law
from pyg_mpnn.testing.derivatives import assert_forces_law, assert_gradients, assert_momentum_law
from pyg_mpnn.testing.deviation import deviation, require
from pyg_mpnn.testing.locality import assert_batch_law, assert_cutoff_law, assert_far_parts_law
from pyg_mpnn.testing.symmetry import (
    assert_inversion_law,
    assert_permutation_law,
    assert_rotation_law,
    assert_translation_law,
    wigner_matrix,
)

__all__ = [
    "assert_permutation_law",
    "assert_translation_law",
    "assert_rotation_law",
    "assert_inversion_law",
    "assert_batch_law",
    "assert_far_parts_law",
    "assert_cutoff_law",
    "assert_forces_law",
    "assert_momentum_law",
    "assert_gradients",
    "assert_copies_law",
    "assert_reset_law",
    "wigner_matrix",
    "deviation",
    "require",
]
