"""How errors fall with the number of structures, from short trainings, and what more of them would bring."""

from __future__ import annotations

import contextlib
import io
import math
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from scipy.stats import t as student
from torch_geometric.data import Data

from pyg_mpnn.data import split_frames
from pyg_mpnn.inspection.finding import Finding, Severity
from pyg_mpnn.training import TrainingSettings, evaluate, train
from pyg_mpnn.training.logs import read_history

__all__ = ["learning_curve", "extrapolate"]

LEVEL = 0.68  # of the interval
FEWEST = 8  # structures of the smallest training
SHARES = (8, 4, 2, 1)
LEAST = 0.25  # of its share of the time that a training gets, however long the others took
OVERFIT = 1.15  # validation over training error, below which time and not data is what lacks


def learning_curve(
    frames: Sequence[Data],
    cutoffs: Sequence[float],
    *,
    minutes: float = 2.0,
    seed: int = 0,
    device: str = "cpu",
    progress: Callable[[str], None] = lambda _: None,
) -> Finding:
    r"""Train the small model on an eighth, a quarter, a half and all of the structures, in equal times.

    .. math:: \log \varepsilon = a - b \log n

    is fitted to the validation errors of the forces (of the energies where there are no forces), and extrapolated to
    twice as many structures, with the interval of 68 % of the fit.

    Args:
        frames: structures with energies.
        cutoffs: of the model, in A.
        minutes: for all trainings together, with what they take beside their steps: each but the first gives up for
            that what the one before it took, down to a quarter of its time.
        seed: of the split, the weights and the order.
        device: where to train.
        progress: called with the size of each training before it runs.

    Returns:
        The finding; the numbers have structures, errors and the extrapolation.

    Source:
        own design; errors of machine-learned potentials as powers of the number of structures: B. Huang and O. A. von
        Lilienfeld, J. Chem. Phys. 145, 161102 (2016).
    """
    name = "learning curve"
    held_out = max(1, min(50, len(frames) // 5))
    places, valid = split_frames(len(frames), held_out, seed)
    counts = [len(places) // share for share in SHARES if len(places) // share >= FEWEST]
    if len(counts) < 3:
        return Finding(name, "note", f"Cannot tell: {len(frames)} structures, {FEWEST * 4 + held_out} are needed.")
    tested = [frames[place] for place in valid]
    column, unit = ("forces", "meV/A") if any("forces" in frame for frame in frames) else ("energy", "meV/atom")
    key = {"forces": "forces_mae_meV_per_A", "energy": "energy_mae_meV_per_atom"}[column]
    errors: list[float] = []
    seconds: list[float] = []
    begun, beside, seen, epochs = time.monotonic(), 0.0, math.nan, 0
    for count in counts:
        progress(f"training on {count} structures")
        start = time.monotonic()
        left = 60 * minutes - (start - begun)
        seconds.append(max(left / (len(counts) - len(errors)) - beside, LEAST * 60 * minutes / len(counts)))
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            with contextlib.redirect_stderr(io.StringIO()):
                settings = TrainingSettings(
                    "structures", f"{folder}/run", size="small", cutoff=tuple(cutoffs), minutes=seconds[-1] / 60,
                    compile="off", device=device, seed=seed, force_data=True, batch_size=min(8, count),
                )  # fmt: skip
                seen_frames = [frames[place] for place in places[:count]]
                result = train(settings, frames=seen_frames, valid=tested, report=False)
            epochs = int(read_history(Path(folder) / "run" / "metrics.csv")[-1]["epoch"])
        errors.append(getattr(result.errors, key))
        beside = time.monotonic() - start - seconds[-1]
    seen = getattr(evaluate(result.potential, seen_frames[: len(tested)]), key)
    found = describe_curve(counts, errors, seen, epochs, f"{column} MAE in {unit}", seconds)
    found.numbers.update(seconds_each=seconds, seconds_in_all=time.monotonic() - begun)
    return found


def describe_curve(
    counts: Sequence[int], errors: Sequence[float], seen: float, epochs: int, what: str, seconds: Sequence[float]
) -> Finding:
    """Say what a learning curve says, and where it says nothing.

    Args:
        counts: structures of each training.
        errors: its validation error.
        seen: error of the last one on as many structures that it was trained on.
        epochs: of the last one.
        what: the errors, with their unit.
        seconds: of each training.

    Returns:
        The finding.
    """
    slope, middle, low, high, falls = extrapolate(counts, errors)
    numbers = {
        **{"structures": list(counts), "errors": list(errors), "what": what, "training_error": seen, "epochs": epochs},
        **{"slope": slope, "at_twice": [low, middle, high], "falls": falls},
    }
    shown = ", ".join(f"{error:.3g} with {count}" for count, error in zip(counts, errors, strict=True))
    times = f"{min(seconds):.0f} to {max(seconds):.0f} s of steps each"
    text = f"{what}: {shown} structures (small model, {times}, the last in {epochs} epochs)."
    severity: Severity = "note"
    if seen * OVERFIT > errors[-1]:
        text += (
            f" The fit says NOTHING about more structures: those trained on are no better ({seen:.3g}), so time "
            "is what lacks. Train for longer before you compute more."
        )
    elif not falls:
        text += " The fit says NOTHING: errors do not fall with structures beyond their scatter."
    else:
        severity = "ok"
        text += (
            f" {counts[-1]} more structures would take them from {errors[-1]:.3g} to about {middle:.3g} ({low:.3g} to "
            f"{high:.3g}, {100 * LEVEL:.0f} % interval of the fit) at this size and time; a longer training of a "
            "larger model starts lower."
        )
    return Finding("learning curve", severity, text, numbers)


def extrapolate(counts: Sequence[int], errors: Sequence[float]) -> tuple[float, float, float, float, bool]:
    r"""Fit a power law and extrapolate it to twice the largest number.

    Args:
        counts: numbers of structures, at least three.
        errors: an error for each.

    Returns:
        the slope :math:`-b`; the error at twice the largest number, and the ends of its interval of 68 % (Student's t,
        new observation); whether the slope is below zero beyond its own interval.

    Example:
        >>> slope, middle, low, high, falls = extrapolate([100, 200, 400, 800], [80.0, 56.6, 40.0, 28.3])
        >>> round(slope, 2), round(middle), falls
        (-0.5, 20, True)
    """
    x, y = np.log(np.array(counts, dtype=float)), np.log(np.array(errors, dtype=float))
    design = np.stack([np.ones_like(x), x], axis=1)
    (offset, slope), *_ = np.linalg.lstsq(design, y, rcond=None)
    free = len(x) - 2
    variance = float(((y - offset - slope * x) ** 2).sum() / free)
    inverse = np.linalg.inv(design.T @ design)
    factor = float(student.ppf(0.5 + LEVEL / 2, free))
    new = np.array([1.0, math.log(2 * counts[-1])])
    middle = float(offset + slope * new[1])
    width = factor * math.sqrt(variance * (1 + float(new @ inverse @ new)))
    falls = bool(slope + factor * math.sqrt(variance * float(inverse[1, 1])) < 0)
    return float(slope), math.exp(middle), math.exp(middle - width), math.exp(middle + width), falls
