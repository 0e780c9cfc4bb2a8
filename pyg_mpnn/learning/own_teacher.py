"""A trained potential of this package as a teacher: from a file, or from the folder of a training or a committee."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from pyg_mpnn.deploy import CompileMode
from pyg_mpnn.learning.teacher import Teacher
from pyg_mpnn.md import PotentialCalculator
from pyg_mpnn.models import Committee, EnergyModel, load_potential
from pyg_mpnn.models.pretrained import model_file

_PLACE = f"{__name__}:own_calculator"


def is_own(name: str) -> bool:
    """Whether the name of a teacher is a file or folder of ours, not the place of a class.

    Args:
        name: As the user gave it.

    Returns:
        True where there is something of this name, or it is no name of a class.
    """
    return Path(name).exists() or ":" not in name


def own_teacher(
    path: str,
    *,
    trust: Sequence[str] = (),
    device: str = "auto",
    threads: int | None = None,
    compile: CompileMode = "off",
) -> Teacher:
    """A teacher that loads a potential in each of its processes.

    Args:
        path: As of :func:`load_own`.
        trust: Code of the user's that may run.
        device: As of md.
        threads: Of torch in each process; 1 without it.
        compile: As of md.

    Returns:
        The teacher.
    """
    options = {"device": device, "threads": threads or 1, "compile": compile}
    return Teacher(_PLACE, {"path": path, "trust": list(trust), **options})


def own_calculator(
    path: str, trust: Sequence[str], device: str, threads: int, compile: CompileMode
) -> PotentialCalculator:
    """The calculator of a process; it sets the number of threads of the process.

    Args:
        path: As of :func:`load_own`.
        trust: Code of the user's that may run.
        device: As of md.
        threads: Of torch.
        compile: As of md.

    Returns:
        The calculator.

    Raises:
        ValueError: As of :func:`load_own`.
    """
    torch.set_num_threads(threads)
    return PotentialCalculator(load_own(path, trust).compile(compile), device=device)


def load_own(path: str, trust: Sequence[str] = ()) -> EnergyModel:
    """Read a potential.

    Args:
        path: Checkpoint, saved potential, or name of one that comes with the package; or the folder of a training (its
            best.ckpt), or of a committee (its committee.pt, or the best.ckpt of all its members, whose mean it then
            is).
        trust: Code of the user's that may run.

    Returns:
        The potential, in evaluation mode.

    Raises:
        FileNotFoundError: There is no such file or folder, or no potential in the folder.
        ValueError: The file holds no potential with an energy.
    """
    place = model_file(path)
    if place.is_dir():
        whole = [place / name for name in ("committee.pt", "best.ckpt") if (place / name).is_file()]
        members = sorted(place.glob("member-*/best.ckpt"), key=lambda file: int(file.parent.name[7:]))
        if not whole and len(members) < 2:
            raise FileNotFoundError(
                f"'teacher' must be a folder with committee.pt, best.ckpt or the members of a committee, got {path} "
                f"with {len(members)} trained members"
            )
        if not whole:
            potentials = [load_own(str(file), trust) for file in members]
            model = Committee(*potentials).eval()
            model.compositions, model.record = potentials[0].compositions, dict(potentials[0].record)
            return model
        place = whole[0]
    if not place.is_file():
        raise FileNotFoundError(
            f"'teacher' must be package.module:Class or file.py:Class of an ASE calculator, or a trained potential or "
            f"its folder, got {path}, which is not there"
        )
    potential = load_potential(place, trust=trust)
    if not potential.has_energy:
        raise ValueError(f"'teacher' must have an energy, got {path} with other outputs alone")
    return potential
