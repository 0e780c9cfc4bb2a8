from __future__ import annotations

import pytest
import torch

from pyg_mpnn.training import TrainingSettings


def test_default_length_is_ten_minutes_without_epochs_and_minutes() -> None:
    assert TrainingSettings("data", "out").minutes == 10.0
    assert TrainingSettings("data", "out", epochs=3).minutes is None


def test_cutoff_may_be_one_number_or_several() -> None:
    assert TrainingSettings("data", "out", cutoff=4).cutoff == (4.0,)
    assert TrainingSettings("data", "out", cutoff=(3, 5)).cutoff == (3.0, 5.0)


def test_one_file_is_a_string_and_several_a_tuple() -> None:
    assert TrainingSettings(["a.xyz"], "out", test=["b.xyz", "c.xyz"]).data == "a.xyz"
    assert TrainingSettings("a.xyz", "out", test=["b.xyz", "c.xyz"]).test == ("b.xyz", "c.xyz")
    with pytest.raises(ValueError, match="'data' must name at least one file, got an empty list"):
        TrainingSettings([], "out")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 1, "minutes": 1.0}, "'epochs' and 'minutes' exclude each other, got 1 and 1.0"),
        ({"epochs": 0}, "'epochs' must be positive, got 0"),
        ({"minutes": -1.0}, "'minutes' must be positive, got -1.0"),
        ({"minutes": float("nan")}, "'minutes' must be positive, got nan"),
        ({"valid_size": 0}, "'valid_size' must be positive, got 0"),
        ({"batch_size": 0}, "'batch_size' must be positive, got 0"),
        ({"learning_rate": 0.0}, "'learning_rate' must be positive, got 0.0"),
        ({"clip": 0.0}, "'clip' must be positive, got 0.0"),
        ({"threads": 0}, "'threads' must be positive, got 0"),
        ({"force_weight": -1.0}, "'force_weight' must not be negative, got -1.0"),
        ({"stress_weight": -1.0}, "'stress_weight' must not be negative, got -1.0"),
        ({"energy_weight": 0.0}, "'energy_weight' must be positive, got 0.0"),
        ({"ema_decay": 1.0}, r"'ema_decay' must be in \[0, 1\), got 1.0"),
        ({"warmup": -0.1}, r"'warmup' must be in \[0, 1\), got -0.1"),
        ({"cutoff": (0.0,)}, r"'cutoff' must be positive \(in A\), got \[0.0\]"),
        ({"cutoff": ()}, r"'cutoff' must be positive \(in A\), got \[\]"),
        ({"device": "gpu"}, "'device' must be auto, cpu, cuda or a GPU as cuda:0, got 'gpu'"),
        ({"device": "cpu:1"}, "'device' must be auto, cpu, cuda or a GPU as cuda:0, got 'cpu:1'"),
        ({"device": "cuda:1", "devices": 2}, "'device' must be cuda where 'devices' is 2, .* got 'cuda:1'"),
        ({"patience": 0}, "'patience' must be positive, got 0"),
        ({"accumulate": 0}, "'accumulate' must be positive, got 0"),
        ({"huber_delta": 0.0}, "'huber_delta' must be positive, got 0.0"),
        ({"weight_decay": -0.1}, "'weight_decay' must not be negative, got -0.1"),
        ({"stress_weight": 0.0, "final_stress_weight": 1.0}, "'final_stress_weight' must be left out .* 0, got 1.0"),
        ({"devices": 4, "num_nodes": 3}, r"'batch_size' must be at least the number of processes \(.*, 12\), got 8"),
        ({"devices": 8, "valid_size": 4}, r"'valid_size' must be at least the number of processes \(.*, 8\), got 4"),
        ({"start_from": "best.ckpt", "size": "small"}, r"'size', .* must be left out with 'start_from', .*'small'"),
        ({"start_from": "best.ckpt", "model": {"l_max": 1}}, r"must be left out with 'start_from', .*'l_max': 1"),
        ({"target": "gap", "start_from": "best.ckpt"}, "'start_from' is for energies and forces .* got 'best.ckpt'"),
        (
            {"target": "gap", "zbl": False},
            "'zbl' is for energies and forces and must be left out with 'target', got False",
        ),
        ({"target": "gap", "loss": "huber"}, "'loss' is for energies and forces .* 'target', got 'huber'"),
        ({"target": "gap", "devices": 2}, "'devices' is for energies and forces .* 'target', got 2"),
        ({"target": "gap", "test": "ethanol"}, "'test' is for energies and forces .* 'target', got 'ethanol'"),
        ({"stream": True, "target": "gap"}, "'stream' needs one file in 'data' and no 'target', got 'data' and 'gap'"),
        ({"stream": True, "start_from": "best.ckpt"}, "'stream' needs random weights .* got 'start_from' 'best.ckpt'"),
        (
            {"stream": True, "num_nodes": 2},
            "'stream' needs random weights to start from and one process, .* 2 processes",
        ),
        (
            {"devices": 100, "batch_atoms": 1, "valid_size": 50},
            r"'valid_size' must be at least the number of processes",
        ),
        ({"stress_key": "a", "virial_key": "b"}, "'stress' and 'virial' exclude each other, got 'a' and 'b': name one"),
        ({"target": "gap", "energy_key": "e"}, "'energy_key' is for energies and forces .* 'target', got 'e'"),
        ({"seed": -1}, "'seed' must be at least 0 and below 2\\^31, got -1"),
    ],
)
def test_settings_out_of_range_are_errors(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainingSettings("data", "out", **changes)


@pytest.mark.parametrize(
    ("changes", "structures", "mode"),
    [
        ({"minutes": 5}, 100, ("auto", None)),
        ({"minutes": 1}, 100, ("off", "it is done for trainings of 3 minutes or 3000 steps and more")),
        ({"epochs": 100}, 950, ("auto", None)),
        ({"epochs": 5}, 950, ("off", "it is done for trainings of 3 minutes or 3000 steps and more")),
        ({"minutes": 5, "threads": 2}, 100, ("auto", None)),
        (
            {"minutes": 5, "device": "cuda:1"},
            100,
            ("off", "nobody has measured it on a GPU, where --compile on compiles"),
        ),
        ({"minutes": 5, "device": "cpu", "devices": 2}, 100, ("auto", None)),
        ({"minutes": 1, "compile": "on"}, 100, ("on", None)),
        ({"minutes": 5, "compile": "off"}, 100, ("off", None)),
    ],
)
def test_compiles_where_it_pays(changes, structures, mode, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert TrainingSettings("data", "out", **changes).compile_mode(structures) == mode


def test_a_gpu_is_not_compiled_for(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert TrainingSettings("data", "out", minutes=5).compile_mode(100)[0] == "off"
    assert TrainingSettings("data", "out", minutes=5, device="cpu").compile_mode(100) == ("auto", None)


@pytest.mark.parametrize(("structures", "expected"), [(1000, 50), (60, 6), (5, 1)])
def test_small_data_keep_most_structures_for_training(structures: int, expected: int) -> None:
    assert TrainingSettings("data", "out").count_valid(structures) == expected
    assert TrainingSettings("data", "out", valid_size=7).count_valid(structures) == 7
    assert TrainingSettings("data", "out", devices=8).count_valid(structures) == max(expected, 8)
