from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch_geometric.data import Data

from pyg_mpnn import Potential
from pyg_mpnn.models.files import FILE_FORMAT
from pyg_mpnn.training import TrainingResult, TrainingSettings, train
from pyg_mpnn.training.checkpoint import AtomicCheckpointIO, MovableCheckpoint


class _Interrupted(Exception):
    pass


def _half(checkpoint: Any, file: Any) -> None:
    file.write(b"half a checkpoint")
    raise _Interrupted


def test_interrupted_write_leaves_the_previous_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer, path = AtomicCheckpointIO(), tmp_path / "last.ckpt"
    writer.save_checkpoint({"epoch": 1}, path)
    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", _half)
        with pytest.raises(_Interrupted):
            writer.save_checkpoint({"epoch": 2}, path)
    assert writer.load_checkpoint(path) == {"epoch": 1}
    writer.save_checkpoint({"epoch": 3}, path)
    assert writer.load_checkpoint(path) == {"epoch": 3}
    assert os.listdir(tmp_path) == ["last.ckpt"]


@pytest.mark.slow
def test_training_interrupted_while_writing_resumes_from_the_previous_epoch(
    settings: Callable[..., TrainingSettings], frames: list[Data], monkeypatch: pytest.MonkeyPatch
) -> None:
    save, last = torch.save, Path(settings().out) / "last.ckpt"

    def fail_in_second_epoch(checkpoint: Any, file: Any) -> None:
        (_half if checkpoint["epoch"] == 1 else save)(checkpoint, file)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", fail_in_second_epoch)
        with pytest.raises(_Interrupted):
            train(settings(), frames=frames)
    assert torch.load(last, weights_only=True)["epoch"] == 0
    train(settings(resume=True), frames=frames)
    assert torch.load(last, weights_only=True)["epoch"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["best.ckpt", "last.ckpt"])
def test_checkpoint_loads_without_pickled_code_and_as_a_potential(finished: TrainingResult, name: str) -> None:
    checkpoint = torch.load(finished.out / name, weights_only=True)
    own = checkpoint["pyg_mpnn"]
    assert (own["format"], own["prefix"]) == (FILE_FORMAT, "potential.")
    potential = Potential.load(finished.out / name)
    assert potential.config == own["config"] == finished.potential.config
    for key, value in potential.state_dict().items():
        torch.testing.assert_close(value, checkpoint["state_dict"]["potential." + key], rtol=0, atol=0, equal_nan=True)


def test_best_checkpoint_is_the_potential_that_training_returns(finished: TrainingResult) -> None:
    loaded = Potential.load(finished.out / "best.ckpt").state_dict()
    for key, value in finished.potential.state_dict().items():
        torch.testing.assert_close(loaded[key], value, rtol=0, atol=0, equal_nan=True)


def test_checkpoint_holds_average_and_current_weights(finished: TrainingResult) -> None:
    checkpoint = torch.load(finished.out / "last.ckpt", weights_only=True)
    names = [name for name, _ in finished.potential.named_parameters()]
    moved = [
        (checkpoint["state_dict"]["potential." + n] - checkpoint["current_model_state"]["potential." + n]).abs().max()
        for n in names
    ]
    assert max(moved) > 0


def test_best_score_survives_a_move_of_the_folder(
    settings: Callable[..., TrainingSettings], frames: list[Data], tmp_path: Path
) -> None:
    train(settings(), frames=frames)
    out = Path(settings().out)
    (score,) = [
        state["best_model_score"]
        for state in torch.load(out / "last.ckpt", weights_only=True)["callbacks"].values()
        if "best.ckpt" in state.get("best_model_path", "")
    ]
    for name, known in (("moved", True), ("forgetful", False)):
        shutil.copytree(out, tmp_path / name)
        kind = MovableCheckpoint if known else ModelCheckpoint
        callback = kind(tmp_path / name, "best", monitor="valid_score", enable_version_counter=False)
        states = torch.load(tmp_path / name / "last.ckpt", weights_only=True)["callbacks"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Lightning's word on other folders
            callback.load_state_dict(next(s for s in states.values() if "best.ckpt" in s.get("best_model_path", "")))
        assert (callback.best_model_score == score) == known
        if known:
            assert callback.best_model_path == str(tmp_path / name / "best.ckpt")
            assert list(callback.best_k_models) == [callback.best_model_path]
            assert callback.state_key == ModelCheckpoint(monitor="valid_score").state_key


@pytest.mark.slow
def test_training_that_was_moved_keeps_its_best_checkpoint(
    settings: Callable[..., TrainingSettings], frames: list[Data], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(settings(), frames=frames)
    shutil.move(settings().out, tmp_path / "moved")
    before = torch.load(tmp_path / "moved" / "best.ckpt", weights_only=True)["epoch"]
    monkeypatch.setattr("pyg_mpnn.training.module.score", lambda *_: 1e6)  # all that follows is worse
    monkeypatch.setattr("pyg_mpnn.training.recovery.DIVERGED", float("inf"))
    train(settings(out=str(tmp_path / "moved"), epochs=3, resume=True), frames=frames)
    assert torch.load(tmp_path / "moved" / "last.ckpt", weights_only=True)["epoch"] == 2
    assert torch.load(tmp_path / "moved" / "best.ckpt", weights_only=True)["epoch"] == before
