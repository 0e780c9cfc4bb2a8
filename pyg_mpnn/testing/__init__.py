"""The laws of physics that an interatomic potential and its parts obey.

:func:`check_potential` holds any potential to all of them and reports; :mod:`pyg_mpnn.testing.laws` has them one by
one. The ``assert_..._law`` functions check blocks, whose results may be any tensor.
"""

from __future__ import annotations

from pyg_mpnn.testing import laws
from pyg_mpnn.testing.bond_scan import bond_scan
from pyg_mpnn.testing.check import check_potential
from pyg_mpnn.testing.copies import assert_copies_law, assert_reset_law
from pyg_mpnn.testing.derivatives import assert_forces_law, assert_gradients, assert_momentum_law
from pyg_mpnn.testing.deviation import deviation, require
from pyg_mpnn.testing.healthy import Healthy
from pyg_mpnn.testing.law import Law, law
from pyg_mpnn.testing.laws import FINDINGS, LAWS
from pyg_mpnn.testing.locality import assert_batch_law, assert_cutoff_law, assert_far_parts_law
from pyg_mpnn.testing.picture import draw_scan
from pyg_mpnn.testing.result import Check, Report, Result
from pyg_mpnn.testing.structures import crystal, molecule
from pyg_mpnn.testing.subject import CAPABILITIES, Evaluation, Subject, as_subject
from pyg_mpnn.testing.symmetry import (
    assert_inversion_law,
    assert_permutation_law,
    assert_rotation_law,
    assert_translation_law,
    wigner_matrix,
)

__all__ = [
    # potentials
    "check_potential",
    "Report",
    "Result",
    "Check",
    "FINDINGS",
    "LAWS",
    "laws",
    "Law",
    "law",
    "Subject",
    "Evaluation",
    "as_subject",
    "CAPABILITIES",
    "bond_scan",
    "draw_scan",
    # what to try them on
    "Healthy",
    "molecule",
    "crystal",
    # blocks
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
