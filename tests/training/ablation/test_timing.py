from __future__ import annotations

from collections.abc import Callable

import pytest
from torch_geometric.data import Data

from pyg_mpnn.training.ablation import AblationSettings
from pyg_mpnn.training.ablation.timing import time_variants


@pytest.mark.slow
def test_more_work_takes_longer(settings: Callable[..., AblationSettings], frames: list[Data], unchecked: None) -> None:
    own = settings(only=["num_layers"])
    variants = [variant for variant in own.variants if variant.name != "reference"]
    found = time_variants(own, variants, frames)
    assert list(found) == ["num_layers 1", "num_layers 3"]
    for kind in ("evaluate", "train"):
        less, more = found["num_layers 1"][kind], found["num_layers 3"][kind]
        assert less["p10"] <= less["median"] <= less["p90"]
        assert 1.2 * less["median"] < more["median"]
