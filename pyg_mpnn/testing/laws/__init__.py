"""The laws that an interatomic potential obeys, each a callable of a model and structures."""

from __future__ import annotations

from pyg_mpnn.testing.laws.dynamics import nve
from pyg_mpnn.testing.laws.gradients import double_backward, forces, momentum, stress, torque
from pyg_mpnn.testing.laws.numerics import compiled, determinism, dtype, near_atoms, save_load
from pyg_mpnn.testing.laws.outputs import (
    declared_outputs,
    outputs_permutation,
    outputs_rotation,
    outputs_size,
)
from pyg_mpnn.testing.laws.periodic import cell_choice, supercell, wrapping
from pyg_mpnn.testing.laws.repulsion import repulsion
from pyg_mpnn.testing.laws.separation import batch_independence, isolated_atom, isolated_energy, size_extensivity
from pyg_mpnn.testing.laws.smoothness import no_truncation, smoothness_crowd, smoothness_single, symmetric_sites
from pyg_mpnn.testing.laws.symmetry import atom_permutation, edge_permutation, inversion, rotation, translation

LAWS = (
    translation,
    rotation,
    inversion,
    atom_permutation,
    edge_permutation,
    batch_independence,
    size_extensivity,
    isolated_atom,
    isolated_energy,
    supercell,
    wrapping,
    cell_choice,
    forces,
    stress,
    momentum,
    torque,
    smoothness_single,
    smoothness_crowd,
    symmetric_sites,
    no_truncation,
    near_atoms,
    dtype,
    determinism,
    double_backward,
    save_load,
    nve,
)
"""All laws of energies, forces and stress but ``compiled``, which is opt-in."""
OUTPUT_LAWS = (outputs_rotation, outputs_permutation, outputs_size)
"""Laws of other outputs, for models that declare some (:func:`declared_outputs`)."""

FINDINGS = (repulsion,)
"""What is no law, but should be known before the potential is used."""

__all__ = [
    "LAWS",
    "OUTPUT_LAWS",
    "FINDINGS",
    "compiled",
    "declared_outputs",
    "repulsion",
    *(law.name for law in (*LAWS, *OUTPUT_LAWS)),
]
