from __future__ import annotations

import pytest
import torch

from pyg_mpnn import Potential
from pyg_mpnn.learning.exploration import begin_at, wide_bar
from pyg_mpnn.models import Calibration, Committee


@pytest.mark.parametrize("starts", [1, 3, 4, 13, 20])
def test_dynamics_begin_all_over_the_start_structures(starts: int) -> None:
    """Of 20 structures along a path, each round begins in each quarter, and no start is left out in the end."""
    rounds = max(1, -(-starts // 4))
    begun = [[begin_at(place, number, starts) for place in range(4)] for number in range(1, rounds + 1)]
    assert {k for of in begun for k in of} == set(range(starts))
    for of in begun:
        assert len(set(of)) == min(4, starts)
        assert max(of) - min(of) >= starts // 2


@pytest.mark.parametrize("prior", [0.0, 12.0])
def test_dynamics_stop_where_the_spread_is_five_times_the_usual(prior: float) -> None:
    """Also where error bars are moderated; the control is five times the error bar, which is beyond that."""
    tiny = {"hidden_channels": 8, "edge_dim": 8, "channels": 2, "l_max": 1, "num_layers": 1}
    model = Committee(*(Potential.from_size("small", **tiny) for _ in range(3)))
    model.set_calibration({"forces_std": Calibration(1.5, 0.02, prior)})
    usual, wide = model.stated("forces_std", torch.tensor([0.03, 0.15], dtype=torch.float64)).tolist()
    assert wide_bar(model, usual**2) == pytest.approx(wide)
    assert (5 * usual > 1.2 * wide) == (prior > 0)
