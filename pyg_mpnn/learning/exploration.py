"""A round's dynamics of the student, and which of their structures are worth a label."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from ase import Atoms

from pyg_mpnn.learning.sampling import CLOSEST, STRAIN, Walk, closeness, strained
from pyg_mpnn.learning.selection import describe, select
from pyg_mpnn.learning.settings import LearnSettings
from pyg_mpnn.learning.teacher import as_written
from pyg_mpnn.models import Committee

_WALKS = 4  # in a round
_HOTTEST, _HEATING = 3.0, 1.25  # of the temperature asked for; from a round to the next
_WIDE = 5.0  # times the usual spread, where a dynamics is stopped


def explore(
    settings: LearnSettings,
    starts: Sequence[Atoms],
    model: Committee,
    labelled: Sequence[Atoms],
    number: int,
    hottest: float,
    walk: Callable[[Atoms, str, float, float], Walk],
    say: Callable[[str], None],
) -> tuple[list[Atoms], dict[str, Any]]:
    """Run dynamics at rising temperatures, stopped where the student knows too little, and select from them.

    They begin evenly over the start structures, in each round at the next ones; every other cell is strained. The next
    round's are hotter unless more than one was stopped.

    Args:
        settings: Temperature, number of labels, target and seed count.
        starts: Structures to start from.
        model: The student.
        labelled: What it was trained on.
        number: Of the round.
        hottest: Highest temperature, in units of the one that is asked for.
        walk: Runs a dynamics from a structure, under a name, at a temperature in these units, up to an error bar.
        say: Takes a line for the user.

    Returns:
        The structures to label, and what is to be said of the round.

    Units:
        A, eV/A, K.
    """
    known, usual = describe(model, labelled)
    limit = max(wide_bar(model, float(np.mean(usual**2))), _WIDE * 1e-3 * settings.target_force_error)
    say(
        f"round {number}: {_WALKS} dynamics at {settings.temperature:g} to {hottest * settings.temperature:g} K, "
        f"stopped at an error bar of {limit:.2g} eV/A"
    )
    rng = np.random.default_rng([settings.seed, number])
    candidates: list[Atoms] = []
    walks = []
    for place, factor in enumerate(np.linspace(1.0, hottest, _WALKS)):
        start = starts[begin_at(place, number, len(starts))]
        start = as_written(strained(start, 0.5 * STRAIN, rng) if place % 2 else start)
        found = walk(start, f"walk-{place}", float(factor), limit)
        usable = [atoms for atoms in found.frames[1:] if closeness(atoms) > CLOSEST]
        candidates += usable
        walks.append(
            {
                "temperature_K": float(factor) * settings.temperature,
                "time_fs": found.times[-1] if found.times else 0.0,
                "ended": found.ended,
                "too_close": len(found.frames[1:]) - len(usable),
            }
        )
    early = sum(of["ended"] is not None for of in walks)
    chosen: list[Atoms] = []
    if candidates:
        features, bars = describe(model, candidates)
        chosen = [candidates[place] for place in select(features, bars, known, settings.labels)]
    say(f"{len(candidates)} structures, {early} of {_WALKS} dynamics stopped; {len(chosen)} selected")
    hotter = min(hottest * _HEATING, _HOTTEST) if early <= 1 else hottest
    said = {"candidates": len(candidates), "selected": len(chosen), "walks": walks}
    return chosen, said | {"limit_eV_per_A": limit, "next_hottest": hotter}


def wide_bar(model: Committee, usual: float) -> float:
    r"""The error bar of a force whose spread is five times the usual, of a moderated committee too.

    .. math:: \sigma^2 = \sigma_0^2 + 5^2 \, (\langle \sigma^2 \rangle - \sigma_0^2)

    Args:
        model: The student; its bar of a spread of zero is :math:`\sigma_0`.
        usual: Mean square of its error bars.

    Returns:
        The error bar.

    Units:
        eV/A, and its square.
    """
    least = float(model.stated("forces_std", torch.zeros(1))) ** 2
    return float(np.sqrt(least + _WIDE**2 * (usual - least)))


def begin_at(place: int, number: int, starts: int) -> int:
    """Which start structure a dynamics begins at: evenly over all, and at the next ones in the next round.

    Args:
        place: Of the dynamics in its round.
        number: Of the round.
        starts: Number of start structures.

    Returns:
        The place of one.

    Example:
        >>> [begin_at(place, 1, 12) for place in range(4)]
        [1, 4, 7, 10]
    """
    return (place * max(1, starts // _WALKS) + number) % starts
