from __future__ import annotations

from collections.abc import Callable

import pytest

from pyg_mpnn.data import LabelNames
from pyg_mpnn.training.ablation import AblationSettings


def test_a_cell_is_trained_as_the_settings_say(settings: Callable[..., AblationSettings]) -> None:
    own = settings(only=["scales"], minutes=2.0, learning_rate=1e-3, cutoff=4.0)
    training = own.training(own.variants[1], 3, "there")
    assert (training.cutoff, training.seed, training.minutes, training.learning_rate) == ((2.4, 4.0), 3, 2.0, 1e-3)
    assert (training.compile, training.out, training.batch_size) == ("off", "there", 2)
    named = settings(energy_key="a", forces_key="b", stress_key="c")
    assert named.labels == named.training(named.variants[0], 0, "there").labels == LabelNames("a", "b", "c")
    assert settings(virial_key="d").labels == LabelNames(virial="d")


def test_arguments_of_the_potential_hold_for_every_variant(settings: Callable[..., AblationSettings]) -> None:
    own = settings(only=["num_layers"], model={"num_layers": 4, "num_radial": 6})
    models = [own.training(variant, 0, "there").model for variant in own.variants]
    assert [(model["num_layers"], model["num_radial"]) for model in models] == [(4, 6), (3, 6), (5, 6)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": 0}, "'seeds' must be at least 1, got 0"),
        ({"budget_minutes": 0.0}, "'budget_minutes' must be positive, got 0"),
        ({"minutes": -1.0}, "'minutes' must be positive, got -1"),
        ({"only": ["width"]}, "'only' must hold blocks"),
        ({"compile": "on", "device": "cuda"}, "'compile' needs one process on a CPU"),
    ],
)
def test_bad_settings_are_refused(
    settings: Callable[..., AblationSettings], changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        settings(**changes)
