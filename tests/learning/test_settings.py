from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pyg_mpnn.learning import LearnSettings

EMT = "ase.calculators.emt:EMT"


def test_teacher_with_its_arguments() -> None:
    settings = LearnSettings({"class": EMT, "asap_cutoff": True}, "copper.xyz", "run")
    assert str(settings.as_teacher) == "ase.calculators.emt:EMT(asap_cutoff=True)"
    assert settings.test_steps == 4000
    assert settings.least_labels == 106


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"teacher": {}}, "'teacher' must be package.module:Class"),
        ({"target_force_error": 0.0}, "'target_force_error' must be positive and finite"),
        ({"committee": 1}, "'committee' must be at least 2"),
        ({"labels": 5}, "'labels' must be at least 20"),
        ({"epochs": 3, "train_minutes": 1.0}, "'epochs' and 'train_minutes' exclude each other"),
        ({"ps": 0.01}, r"'ps' must be long enough for 20 different structures.*at least 0.05"),
        ({"start_from": "organic", "size": "base"}, "'size', 'cutoff' and 'model' must be left out with 'start_from'"),
        ({"max_labels": 100}, "'max_labels' must be at least 106 for one round"),
    ],
)
def test_bad_values(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LearnSettings(**{"teacher": {"class": EMT}, "structures": "copper.xyz", "out": "run", **options})


def test_a_model_of_the_users_has_no_size_and_is_trusted() -> None:
    settings = LearnSettings({"class": EMT}, "copper.xyz", "run", model={"class": "my_net.py:Net", "width": 8})
    assert settings.size == "base", "what compose calls no size"
    assert [Path(file).name for file in settings.trust] == ["my_net.py"]
    ours = LearnSettings({"class": EMT}, "copper.xyz", "run", model={"l_max": 1})
    assert (ours.size, ours.trust) == ("small", ())
