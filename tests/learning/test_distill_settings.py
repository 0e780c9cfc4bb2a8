from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pyg_mpnn.learning import DistillSettings


def settings(**options: Any) -> DistillSettings:
    given = {"teacher": {"class": "ase.calculators.emt:EMT"}, "structures": "cu.xyz", "out": "run", **options}
    return DistillSettings(**given)


def test_training_is_told_what_distill_is() -> None:
    of = settings(size="small", epochs=7, seed=3, training={"batch_size": 4}, model={"l_max": 1})
    training = of.of_training("run/training", True)
    assert (training.data, training.size, training.epochs, training.minutes) == ("run/labels.xyz", "small", 7, None)
    assert (training.seed, training.batch_size, training.model, training.resume) == (3, 4, {"l_max": 1}, True)
    assert settings().of_training("run/training", False).minutes == 10
    assert settings().of_training("run/training", False).size == "small"
    assert settings(training={"start_from": "best.ckpt"}).of_training("run", False).start_from == "best.ckpt"


def test_a_model_of_the_users_has_no_size_and_is_trusted() -> None:
    of = settings(model={"class": "my_net.py:Net", "width": 8})
    training = of.of_training("run/training", False)
    assert (training.size, training.model) == ("base", of.model)
    assert [Path(file).name for file in of.trust] == ["my_net.py"]
    with pytest.raises(ValueError, match=r"'size' is for MPNN and must be left out .*my_net\.py:Net', got 'small'"):
        settings(model={"class": "my_net.py:Net"}, size="small")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"teacher": {}}, "'teacher' must be a file or folder of ours"),
        ({"temperature": [300.0, -1.0]}, "'temperature' must be positive"),
        ({"walks": 0}, "'walks' must be at least 1"),
        ({"sample": -1}, "'sample' must be at least 0"),
        ({"max_structures": 0}, "'max_structures' must be at least 1"),
        ({"valid_share": 1.0}, r"'valid_share' must be in \(0, 1\)"),
        ({"interval": 0.1}, "'interval' must be at least the 'timestep', got 0.1 and 0.5 fs"),
        ({"epochs": 1, "minutes": 1.0}, "'epochs' and 'minutes' exclude each other"),
        ({"training": {"committee": 2}}, "'training' must not set what distill sets itself, got committee"),
        ({"training": {"batchsize": 2}}, "'training' must name settings of train, .*batchsize"),
        ({"training": {"batch_size": -2}}, "'batch_size' must be positive"),
        ({"training": {"start_from": "x"}, "size": "base"}, "'size', 'cutoff' and 'model' must be left out .* 'base'"),
        ({"training": {"start_from": "x"}, "cutoff": 4.0}, "whose file has them, got 'small', 4.0 and {}"),
    ],
)
def test_wrong_values_are_named(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        settings(**options)
