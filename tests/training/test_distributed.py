"""What one process sees; several are in ``tests/integration/test_processes.py``."""

from __future__ import annotations

import pytest
import torch

from pyg_mpnn.training.distributed import (
    count_processes,
    gather,
    launched_rank,
    share_from_first,
    sum_over_processes,
)


def test_one_process_keeps_its_own_values() -> None:
    tensor = torch.tensor([1.0, 2.0])
    assert count_processes() == 1
    assert sum_over_processes([tensor])[0] is tensor
    assert share_from_first(3.5, torch.device("cpu")) == 3.5
    assert gather("mine") == ["mine"]


def test_rank_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "RANK", "WORLD_SIZE", "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)
    assert launched_rank(2, 1) == 0
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert launched_rank(2, 1) == 1
    monkeypatch.setenv("NODE_RANK", "3")
    assert launched_rank(2, 4) == 7
    monkeypatch.setenv("SLURM_NTASKS", "8")
    monkeypatch.setenv("SLURM_NTASKS_PER_NODE", "2")
    monkeypatch.setenv("SLURM_JOB_NAME", "training")
    monkeypatch.setenv("SLURM_PROCID", "5")
    assert launched_rank(2, 4) == 5
    assert launched_rank(1, 1) == 0


def test_torchrun_must_start_as_many_processes_as_the_settings_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert launched_rank(2, 2) == 2
    with pytest.raises(ValueError, match=r"must be the number of processes that torchrun started \(4\), got 1 x 1"):
        launched_rank(1, 1)
