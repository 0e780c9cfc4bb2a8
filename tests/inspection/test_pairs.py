from __future__ import annotations

import numpy as np
import pytest
import torch
from ase.calculators.emt import EMT
from torch_geometric.data import Data

from pyg_mpnn.data import to_atoms, to_data
from pyg_mpnn.inspection.pairs import ENERGY_OVER_FORCE, Slope, fit_slope, name_factor, near_pairs


def test_turned_molecules_are_turned_back(frames: list[Data]) -> None:
    """The same molecule in another place: no distance, no work, though its numbers are all different."""
    first = frames[0]
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64)).Q
    turn = turn * torch.linalg.det(turn)
    second = Data(z=first.z, pos=first.pos @ turn + 3.0, forces=first.forces @ turn, energy=first.energy)
    pairs = near_pairs([first, second])
    assert pairs.frames.tolist() == [[0, 1]]
    assert pairs.distance[0] < 1e-7
    assert abs(pairs.work[0]) < 1e-6
    mirrored = Data(z=first.z, pos=-first.pos, forces=-first.forces, energy=first.energy)
    assert near_pairs([first, mirrored]).distance[0] > 0.05, "a mirror image is another structure"


def test_work_of_strain_and_forces_is_the_energy_to_third_order(copper: list[Data]) -> None:
    """Against EMT itself, for two steps: halved, the error of the trapezium falls eightfold."""
    start = to_atoms(copper[0])
    rng = np.random.default_rng(3)
    shift, strain = 0.02 * rng.normal(size=start.positions.shape), np.diag([0.01, -0.005, 0.003])
    errors = []
    for size in (1.0, 0.5):
        moved = start.copy()
        moved.positions += size * shift
        moved.set_cell(start.cell.array @ (np.eye(3) + size * strain), scale_atoms=True)
        for atoms in (start, moved):
            atoms.calc = EMT()
            atoms.get_stress()
        pairs = near_pairs([to_data(start), to_data(moved)], strained=True)
        errors.append(abs(pairs.energy[0] - pairs.work[0] - pairs.strain_work[0]))
    assert 5 < errors[0] / errors[1] < 12


def test_unlike_frames_make_no_pair(frames: list[Data], copper: list[Data]) -> None:
    assert len(near_pairs([frames[0], copper[0]]).energy) == 0


def test_a_third_of_wild_points_does_not_move_the_line() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=300)
    y = 23.06 * x + 0.1 * rng.normal(size=300)
    y[::3] = 100 * rng.normal(size=100)
    slope = fit_slope(x, y)
    assert slope.value == pytest.approx(23.06, rel=0.02)
    assert slope.low < 23.06 < slope.high
    assert abs((x * y).sum() / (x * x).sum() - 23.06) > abs(slope.value - 23.06), "least squares is moved"
    assert name_factor(slope, ENERGY_OVER_FORCE, 1.3).startswith("energies in kcal/mol beside forces in eV/A")


def test_a_wide_interval_agrees_with_nothing() -> None:
    wide = Slope(1.0, -3.0, 4.0, 5)
    assert not wide.agrees(1.0, 1.3)
    assert not wide.has_sign
    assert name_factor(wide, ENERGY_OVER_FORCE, 1.3) is None


def test_no_line_through_zeros() -> None:
    with pytest.raises(ValueError, match="'x' must not be zero everywhere"):
        fit_slope(np.zeros(3), np.ones(3))
