from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch_geometric.data import Batch, Data

from pyg_mpnn import PropertyModel
from pyg_mpnn.training import PropertyModule, TrainingSettings


def test_loss_is_the_weighted_absolute_error_over_the_spread(
    settings: Callable[..., TrainingSettings], water: Data, ethanol: Data
) -> None:
    model = PropertyModel.from_size("small", **settings().model)
    for frame, target, weight in ((water, 1.0, 3.0), (ethanol, -2.0, 0.5)):
        frame.target = torch.tensor([target], dtype=torch.float64)
        frame.weight = torch.tensor([weight])
    module = PropertyModule(model, settings(target="U0"), 0.25, "eV")
    batch = Batch.from_data_list([water, ethanol])
    errors = [abs(model(frame).item() - frame.target.item()) / 0.25 for frame in (water, ethanol)]
    loss, unweighted = module.weighted_loss(batch)
    assert unweighted.tolist() == pytest.approx([sum(errors) / 2], rel=1e-5)
    parts = [module.weighted_loss(Batch.from_data_list([frame]), module.count(batch))[0] for frame in (water, ethanol)]
    assert sum(parts).item() == pytest.approx(loss.item(), rel=1e-6)
    assert loss.item() == pytest.approx((3.0 * errors[0] + 0.5 * errors[1]) / 2, rel=1e-5)
    del batch.weight
    assert module.weighted_loss(batch)[0].item() == pytest.approx(sum(errors) / 2, rel=1e-5)
