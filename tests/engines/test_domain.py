"""A process keeps its pairs until an atom has moved too far, and evaluates its own atoms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from pyg_mpnn.engines.domain import Domain
from pyg_mpnn.engines.evaluator import Evaluator
from tests.engines.threads import Comm, in_threads


@pytest.mark.parametrize("size", [1, 2])
def test_domains_give_the_whole(size, potential, molecule, assert_forces_equal):
    """Each sees all others as images; pairs that were found before the atoms moved a little are still right."""
    moved = molecule.copy()
    moved.rattle(0.02, seed=1)
    wanted = Evaluator(potential)(moved.numbers, moved.positions)

    def work(comm: Comm) -> Any:
        own = np.arange(comm.rank, len(molecule), size)
        order = np.concatenate([own, np.setdiff1d(np.arange(len(molecule)), own)])
        domain = Domain(comm, order + 1, len(own), torch.tensor(molecule.positions[order]), potential.cutoff + 0.5)
        found = domain.evaluate(potential, molecule.numbers[order], torch.tensor(moved.positions[order]), {})
        return own, found

    forces = np.full((len(molecule), 3), np.nan)
    for own, found in in_threads(size, work):
        forces[own] = found.forces.numpy()
        assert found.energy == pytest.approx(wanted.energy, rel=1e-12)
    assert_forces_equal(forces, wanted.forces)


def test_pairs_are_kept_for_the_same_atoms_nearby(molecule):
    tags, pos = np.arange(len(molecule)) + 1, torch.tensor(molecule.positions)
    (domain,) = in_threads(1, lambda comm: Domain(comm, tags, len(tags), pos, 4.5))
    shifted = pos.clone()
    shifted[3, 0] += 0.24
    assert domain.holds(tags, len(tags), shifted, 0.25)
    assert not domain.holds(tags, len(tags), shifted, 0.2)
    assert not domain.holds(tags[::-1].copy(), len(tags), pos, 0.25)
    assert not domain.holds(tags, len(tags) - 1, pos, 0.25)


def test_a_process_without_atoms_has_no_pairs():
    (domain,) = in_threads(1, lambda comm: Domain(comm, np.zeros(0, dtype=np.int64), 0, torch.zeros(0, 3), 4.5))
    assert domain.edge_index.shape == (2, 0)
    assert domain.holds(domain.tags, 0, torch.zeros(0, 3), 0.1)
