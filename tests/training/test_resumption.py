from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pyg_mpnn import files
from pyg_mpnn.training import PotentialModule, TrainingResult, TrainingSettings
from pyg_mpnn.training.resumption import check_folder, read_last, training_folder, why_finished


def test_folder_of_a_new_training_is_empty_and_of_a_resumed_one_is_not(tmp_path: Path) -> None:
    assert check_folder(tmp_path / "absent", resume=False) is None
    assert check_folder(tmp_path, resume=False) is None
    with pytest.raises(FileNotFoundError, match=r"'out' must hold last\.ckpt to resume from"):
        check_folder(tmp_path, resume=True)
    (tmp_path / "settings.json").touch()  # all that a training leaves that failed before its first checkpoint
    assert check_folder(tmp_path, resume=False) is None
    (tmp_path / "last.ckpt").touch()
    assert check_folder(tmp_path, resume=True) == tmp_path / "last.ckpt"
    with pytest.raises(FileExistsError, match="'out' must be a new or empty folder"):
        check_folder(tmp_path, resume=False)


def test_same_training_is_read_and_another_is_named(finished: TrainingResult) -> None:
    last = finished.out / "last.ckpt"
    saved = torch.load(last, weights_only=True)["pyg_mpnn"]
    settings = TrainingSettings(**saved["settings"])
    provenance = saved["provenance"]
    more = dataclasses.replace(settings, epochs=9, threads=1)  # what may differ
    assert read_last(last, PotentialModule(finished.potential, more, provenance))["epoch"] == 2
    other = dataclasses.replace(settings, batch_size=3)
    message = (
        r"'resume' must continue the same training, got other values for 'batch_size' \(was 2\), the data \(sha256\)"
    )
    with pytest.raises(ValueError, match=message):
        read_last(last, PotentialModule(finished.potential, other, {**provenance, "sha256": "another"}))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"epochs": 3}, "The training is complete; to go on, give more epochs or minutes."),
        ({"epochs": 4}, None),
        ({"minutes": 1.0}, "The training is complete; to go on, give more epochs or minutes."),
        ({"minutes": 1.1}, None),
        ({"epochs": 9, "patience": 2}, "The training had stopped early (patience 2)."),
        ({"epochs": 9, "patience": 3}, None),
    ],
)
def test_training_is_finished_by_its_length_or_its_patience(changes: dict[str, float], expected: str | None) -> None:
    checkpoint = {"epoch": 2, "pyg_mpnn": {"seconds": 60.0}, "callbacks": {"stopping": {"wait_count": 2}, "line": {}}}
    assert why_finished(checkpoint, TrainingSettings("data", "out", **changes)) == expected


def test_checkpoints_of_another_format_and_damaged_ones_are_refused(finished: TrainingResult, tmp_path: Path) -> None:
    checkpoint = torch.load(finished.out / "last.ckpt", weights_only=True)
    settings = TrainingSettings(**checkpoint["pyg_mpnn"]["settings"])
    module = PotentialModule(finished.potential, settings, checkpoint["pyg_mpnn"]["provenance"])
    last = tmp_path / "last.ckpt"
    checkpoint["pyg_mpnn"]["format"] = 1
    torch.save(checkpoint, last)
    with pytest.raises(ValueError, match=r"last\.ckpt of format 1, too old to be read: train again"):
        read_last(last, module)
    last.write_bytes(last.read_bytes()[:5000])
    with pytest.raises(ValueError, match="which cannot be read as one"):
        read_last(last, module)


def test_folder_of_another_process_is_refused_at_the_start_and_later(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib, runpy\nhold_folder = runpy.run_path(sys.argv[2])['hold_folder']\n"  # without torch
        "with hold_folder(pathlib.Path(sys.argv[1])):\n    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path), files.__file__], **pipes) as other:  # type: ignore[call-overload]
        assert other.stdout.readline() == "held\n"
        with pytest.raises(FileExistsError, match=rf"where process {other.pid} on .* does: wait for it"):
            check_folder(tmp_path, resume=False)
        with pytest.raises(FileExistsError, match=rf"process {other.pid}"), training_folder(tmp_path, resume=False):
            pass
        other.stdin.close()
    with training_folder(tmp_path, resume=False):
        (tmp_path / "last.ckpt").touch()
    with pytest.raises(FileExistsError, match="not empty"), training_folder(tmp_path, resume=False):
        pass
