"""The student of a round: how it is trained on the labels there are, and judged on others."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ase import Atoms
from torch_geometric.data import Data

from pyg_mpnn.data import to_data
from pyg_mpnn.learning.settings import FEWEST, LearnSettings
from pyg_mpnn.models import Committee
from pyg_mpnn.training import TrainingSettings, deviations, reliability, train_committee


def train_student(
    settings: LearnSettings,
    number: int,
    frames: Sequence[Atoms],
    folder: Path,
    before: Path,
    say: Callable[[str], None],
) -> None:
    """Train the committee of a round, or go on with it, in a folder; what that prints goes to training.txt beside it.

    Args:
        settings: Of the run.
        number: Of the round.
        frames: Structures with labels, those of earlier rounds first.
        folder: For the committee.
        before: The folder of the round before, whose members each member starts from; not looked at in round 0.
        say: Takes a line for the user.
    """
    for member in folder.glob("member-*"):
        if not (member / "last.ckpt").is_file():
            shutil.rmtree(member)
    resume = any(folder.glob("member-*"))
    if folder.exists() and not resume:
        shutil.rmtree(folder)
    data = [to_data(atoms) for atoms in frames]
    train = [frame for place, frame in enumerate(data) if not validates(place)]
    valid = [frame for place, frame in enumerate(data) if validates(place)]
    minutes = (settings.train_minutes or 1.0) if settings.epochs is None else None
    length = f"{settings.epochs} epochs" if minutes is None else f"{minutes:g} min"
    say(f"training {settings.committee} members for {length} each on {len(train)} structures")
    model: dict[str, Any] = {"start_from": str(before) if number else settings.start_from}
    if number == 0 and settings.start_from is None:
        model = {"size": settings.size, "cutoff": settings.cutoff, "model": settings.model}
    of = TrainingSettings(
        "labels.xyz",
        str(folder),
        epochs=settings.epochs,
        minutes=minutes,
        seed=settings.seed + 100 * number,
        committee=settings.committee,
        resume=resume,
        force_data=True,  # sampling seeks what stands apart
        device=settings.device,
        threads=settings.threads,
        compile=settings.compile,
        trust=settings.trust,
        **model,
    )
    folder.parent.mkdir(exist_ok=True)
    with open(folder.with_name("training.txt"), "a") as log, contextlib.redirect_stdout(log):
        train_committee(of, frames=train, valid=valid)


def validates(place: int) -> bool:
    """Whether the label of this number validates trainings, in all rounds: ten of the first twenty, then a tenth.

    Args:
        place: Of the label, from 0.

    Returns:
        Whether it validates.
    """
    return place % 2 == 1 if place < FEWEST else place % 10 == 9


def judge_student(model: Committee, data: Sequence[Data]) -> dict[str, Any]:
    """Errors of a student and what its error bars are worth.

    Args:
        model: The student.
        data: Structures with labels.

    Returns:
        Numbers by name, as in state.json.

    Units:
        meV, meV/A and meV/A^3.
    """
    found = reliability(model, deviations(model, data))
    judged: dict[str, Any] = {"forces_rmse_meV_per_A": 1e3 * found["forces"].rmse}
    for name, of in found.items():
        unit = {"energy": "meV", "forces": "meV_per_A", "stress": "meV_per_A3"}[name]
        judged[f"{name}_rmse_{unit}"] = 1e3 * of.rmse
        judged[f"{name}_std_{unit}"] = 1e3 * of.rms_std
        judged[f"{name}_coverage"] = of.coverage
        judged[f"{name}_rank_correlation"] = of.rank_correlation
    return judged
