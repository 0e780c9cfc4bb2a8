"""Whether and from where an interrupted training goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pyg_mpnn.files import LOCK, hold_folder, refuse_held_folder
from pyg_mpnn.models.files import read_content
from pyg_mpnn.training.module import PotentialModule
from pyg_mpnn.training.settings import TrainingSettings

# What may differ between an interrupted training and its continuation; the last row changes the rounding only.
_FREE_SETTINGS = {"data", "out", "test", "epochs", "minutes", "resume", "tensorboard", "wandb", "trust"}
_FREE_SETTINGS |= {"cutoff"}  # the potential is compared itself, and 5 A need not be said
_FREE_SETTINGS |= {"stream", "workers", "energy_key", "forces_key", "stress_key", "virial_key"}
_FREE_SETTINGS |= {"energy_unit", "length_unit", "types", "force_data"}
_FREE_SETTINGS |= {"threads", "device", "compile", "devices", "num_nodes", "accumulate"}


def check_folder(out: Path, resume: bool) -> Path | None:
    """Refuse a folder that holds something, or one without a checkpoint where a training is to go on.

    Args:
        out: The folder for the results.
        resume: Whether to go on.

    Returns:
        The checkpoint to go on from, ``None`` for a new training.

    Raises:
        FileExistsError: A new training, and the folder is not empty, or another process trains in it.
        FileNotFoundError: There is no last.ckpt to go on from.
    """
    refuse_held_folder(out)
    last = out / "last.ckpt"
    if resume:
        if not last.is_file():
            raise FileNotFoundError(
                f"'out' must hold last.ckpt to resume from, got {str(out)!r} without it (it is written after each "
                "epoch): empty the folder or choose another, and start again without 'resume'."
            )
        return last
    # A training that failed before its first checkpoint leaves its settings alone: nothing to lose.
    if out.exists() and (not out.is_dir() or {path.name for path in out.iterdir()} - {"settings.json", LOCK}):
        raise FileExistsError(
            f"'out' must be a new or empty folder, got {str(out)!r}, which is not empty: choose another, or continue "
            "the training in it with 'resume'."
        )
    return None


@contextmanager
def training_folder(out: Path, resume: bool) -> Iterator[None]:
    """Keep the folder to this training until it ends or is killed.

    Args:
        out: The folder for the results, made if absent.
        resume: Whether to go on with what it holds.

    Yields:
        Nothing.

    Raises:
        FileExistsError: Another process trains in it, or has done so since :func:`check_folder` looked.
    """
    with hold_folder(out):
        check_folder(out, resume)
        yield


def read_last(last: Path, module: PotentialModule) -> dict[str, Any]:
    """Read the checkpoint of an interrupted training, and refuse one of another training.

    Args:
        last: The checkpoint.
        module: What is to go on.

    Returns:
        What the checkpoint holds.

    Raises:
        ValueError: The file is damaged or of another format, or settings, data or potential differ.
    """
    checkpoint = read_content(last, "cpu", "a checkpoint of pyg-mpnn train")
    saved = checkpoint["pyg_mpnn"]
    # settings that are newer than the file: the default, but for the optimizer, which was Adam
    old = asdict(TrainingSettings("", "")) | {"optimizer": "adamw"} | saved["settings"]
    new = asdict(module.settings)
    hashes = {"sha256", "training_indices_sha256", "validation_indices_sha256"}
    differing = {f"'{k}' (was {old.get(k)})" for k in new if k not in _FREE_SETTINGS and old.get(k) != new[k]}
    differing |= {f"the data ({k})" for k in hashes if saved["provenance"][k] != module.provenance[k]}
    if saved["config"] != module.description:
        differing.add("the potential")
    if (old["minutes"] is None) != (module.settings.minutes is None):
        differing.add(f"'epochs' or 'minutes' (were {old['epochs']} and {old['minutes']})")
    if differing:
        raise ValueError(
            f"'resume' must continue the same training, got other values for {', '.join(sorted(differing))}: repeat "
            f"the first command with --resume, or pass --config {last.with_name('settings.json')} --resume."
        )
    return checkpoint


def why_finished(checkpoint: dict[str, Any], settings: TrainingSettings) -> str | None:
    """Say why nothing is left to train.

    Args:
        checkpoint: What :func:`read_last` returned.
        settings: What the training is told now.

    Returns:
        A sentence, ``None`` where the training goes on.
    """
    waits = [state["wait_count"] for state in checkpoint["callbacks"].values() if "wait_count" in state]
    if settings.patience is not None and waits[0] >= settings.patience:
        return f"The training had stopped early (patience {settings.patience})."
    if settings.minutes is not None:
        complete = checkpoint["pyg_mpnn"]["seconds"] >= 60 * settings.minutes
    else:
        assert settings.epochs is not None
        complete = checkpoint["epoch"] + 1 >= settings.epochs
    return "The training is complete; to go on, give more epochs or minutes." if complete else None
