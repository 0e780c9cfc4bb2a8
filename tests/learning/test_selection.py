from __future__ import annotations

import numpy as np
import pytest
import torch
from ase.build import bulk, molecule

from pyg_mpnn import Potential
from pyg_mpnn.learning.selection import describe, select
from pyg_mpnn.models import Committee


def test_far_points_come_first_and_copies_never() -> None:
    points = np.array([[0.0, 0.0], [1.0, 0.0], [0.9999, 0.0], [0.0, 3.0], [0.0, 3.0]])
    assert select(points, np.ones(5), np.array([[0.0, 0.0]]), 5) == [1, 3]


def test_error_bars_weigh() -> None:
    points, known = np.array([[1.0], [2.0]]), np.array([[0.0]])
    assert select(points, np.array([1.0, 1.0]), known, 1) == [1]
    assert select(points, np.array([3.0, 1.0]), known, 1) == [0]


def test_nothing_to_choose() -> None:
    assert select(np.ones((3, 2)), np.ones(3), np.ones((1, 2)), 3) == []
    assert select(np.empty((0, 2)), np.empty(0), np.eye(2), 3) == []


def committee() -> Committee:
    members = []
    for seed in range(2):
        torch.manual_seed(seed)
        members.append(Potential.from_size("small", hidden_channels=8, edge_dim=8, channels=2, l_max=1, num_layers=1))
        members[-1].set_reference({1: -13.6, 8: -2041.0, 29: -1.0}, scale=0.1, neighbors=[8.0])
    return Committee(*members).eval()


def test_features_do_not_turn_nor_depend_on_order_or_batch() -> None:
    model = committee()
    water = molecule("H2O")
    turned = water.copy()
    turned.rotate(40, (1, 2, 3))
    turned = turned[[2, 0, 1]]
    other = bulk("Cu", cubic=True)
    other.rattle(0.1, seed=1)
    features, bars = describe(model, [water, turned, other])
    alone, bar = describe(model, [other])
    assert np.allclose(features[0], features[1], atol=1e-6)
    assert np.allclose(features[2], alone[0], atol=1e-6)
    assert bars[0] == pytest.approx(bars[1], rel=1e-3)
    assert bars[2] == pytest.approx(bar[0], rel=1e-4)
    assert np.abs(features[0] - features[2]).max() > 0.01, "control: other structures have other features"
