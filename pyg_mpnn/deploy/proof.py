r"""Compiled code shows that it computes what eager evaluation does, before a result of it is used.

Three batches of different sizes are generated, and compiled energies, forces and virial are compared with eager ones;
for training, so are the gradients of the weights. What was found is written beside the code, whose folder is the user's
own and checked (``pyg_mpnn.deploy.cache``), so that each piece of code is compared once. With a release of torch that
the tests of this package do not run, or on a GPU, the code is made and first run in a process of its own, which it may
end.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyg_mpnn.deploy.support import digest, machine
from pyg_mpnn.deploy.trials import Trial

TESTED_TORCH = ("2.13",)
"""Releases of torch whose code the tests of this package run on CPUs: it is compared in the user's process."""

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-4}
"""Largest deviation of energies, forces and virial, that of the laws (``pyg_mpnn.testing``)."""

GRADIENTS = 10.0
"""How many times as much the gradients of the weights may deviate, which are sums over all edges of a batch."""

_VERDICT = "verdict.json"


class NotProven(RuntimeError):
    """Compiled code does not compute what eager evaluation does, or ends the process."""


def deviations(found: list[dict[str, Tensor]], trials: list[Trial]) -> dict[str, float]:
    r"""Largest difference of compiled and eager results, relative to the largest eager value of the batch.

    .. math:: \max |a - e| \; / \; \max |e|

    A gradient is related to the largest of its own weight, or to a thousandth of the largest of all where that is more.

    Args:
        found: compiled results of each trial.
        trials: the trials.

    Returns:
        a number for each kind of result; infinite where it is not finite or of another shape.

    Raises:
        NotProven: eager results are not finite.
    """
    largest: dict[str, float] = {}
    for results, (_, wanted) in zip(found, trials, strict=True):
        scales = {name: float(value.abs().max()) for name, value in wanted.items() if value.numel()}
        if not all(torch.isfinite(value).all() for value in wanted.values()):
            raise NotProven("eager results of generated structures are not finite, so that nothing can be compared")
        floor = 1e-3 * max((scale for name, scale in scales.items() if name.startswith("gradient")), default=0.0)
        for name, scale in scales.items():
            kind = "gradients of the weights" if name.startswith("gradient") else name
            value = float("inf")
            if results[name].shape == wanted[name].shape and bool(torch.isfinite(results[name]).all()):
                scale = max(scale, floor) if kind != name else scale
                value = float((results[name].double() - wanted[name].to(results[name].device).double()).abs().max())
                value /= scale if scale > 0 else 1.0
            largest[kind] = max(largest.get(kind, 0.0), value)
    return largest


class Verdict(NamedTuple):
    """What was found of one piece of code, as it is written beside it."""

    proven: bool
    reason: str  # why not
    deviation: dict[str, float]
    tolerance: dict[str, float]
    own_process: bool
    seconds: float  # that it took, in a process of its own with the making of the code
    torch: str
    machine: str
    code: str  # name of the folder
    proof: str  # digest of the files that prove

    @classmethod
    def of(cls, folder: Path, reason: str, deviation: dict[str, float], **others: Any) -> Verdict:
        """The verdict on the code in a folder; it is proven where there is no reason why not."""
        known: dict[str, Any] = others | _what_it_is_on(folder)
        return cls(proven=not reason, reason=reason, deviation=deviation, **known)


def judge(folder: Path, found: list[dict[str, Tensor]], trials: list[Trial], **others: Any) -> Verdict:
    """Compare results of compiled code with eager ones.

    Args:
        folder: folder of the code.
        found: compiled results of each trial.
        trials: the trials.
        **others: what else the verdict says.

    Returns:
        the verdict.
    """
    deviation = deviations(found, trials)
    allowed = TOLERANCE[trials[0].wanted["forces"].dtype]
    tolerance = {name: allowed * (GRADIENTS if name.startswith("grad") else 1.0) for name in deviation}
    wrong = [
        f"{name} by {value:.1e} (allowed {tolerance[name]:.0e})"
        for name, value in deviation.items()
        if not value <= tolerance[name]
    ]
    reason = f"its results are not the eager ones: relative to the largest, {', '.join(wrong)}" if wrong else ""
    return Verdict.of(folder, reason, deviation, tolerance=tolerance, **others)


def read_verdict(folder: Path) -> Verdict | None:
    """The verdict on the code in a folder, none of another torch, machine, code or way to prove.

    Args:
        folder: folder that ``keep`` lends, which has checked its files.

    Returns:
        the verdict, ``None`` where it must be found.
    """
    try:
        verdict = Verdict(**json.loads((folder / _VERDICT).read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return verdict if _what_it_is_on(folder).items() <= verdict._asdict().items() else None


def write_verdict(folder: Path, verdict: Verdict) -> None:
    """Write a verdict beside its code."""
    (folder / _VERDICT).write_text(json.dumps(verdict._asdict(), indent=1))


def require_proven(verdict: Verdict, folder: Path) -> None:
    """Raise unless code is proven.

    Args:
        verdict: the verdict on it.
        folder: its folder.

    Raises:
        NotProven: it is not, with what to do.
    """
    if not verdict.proven:
        raise NotProven(f"{verdict.reason}; torch {verdict.torch}; remove {folder} to try again")


def may_end_the_process(device: torch.device) -> bool:
    """Whether code must show in a process of its own that it does not end the user's."""
    return device.type != "cpu" or ".".join(torch.__version__.split(".")[:2]) not in TESTED_TORCH


_OWN = digest("".join(Path(__file__).with_name(name).read_text() for name in ("proof.py", "trials.py")))


def _what_it_is_on(folder: Path) -> dict[str, Any]:
    """What a verdict is on: torch, processor, code, and the way to prove, by the texts of its files."""
    return {"torch": torch.__version__, "machine": machine(), "code": folder.name, "proof": _OWN}
