"""A law: a function that measures, made into one that judges."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch_geometric.data import Data

from pyg_mpnn.testing.result import Check, Result
from pyg_mpnn.testing.subject import CAPABILITIES, as_subject


class Law:
    """A law of physics that a potential obeys; call it with a model and structures to get a :class:`Result`.

    Args:
        measure: maps a subject and its structures to what was measured.
        needs: capabilities without which the law does not apply.
    """

    def __init__(self, measure: Callable[..., list[Check]], needs: Sequence[str]) -> None:
        assert set(needs) <= set(CAPABILITIES), needs
        functools.update_wrapper(self, measure)
        self.measure, self.needs = measure, tuple(needs)
        self.name = measure.__name__

    @property
    def statement(self) -> str:
        """The law in one line."""
        return (self.__doc__ or "").splitlines()[0]

    def __call__(
        self, model: Any, structures: Data | Sequence[Data], *, options: dict[str, Any] | None = None, **adapter: Any
    ) -> Result:
        """Measure and judge; an exception of the model is a fail.

        Args:
            model: the potential, see :func:`as_subject`.
            structures: real structures of elements that the potential knows, at least one.
            options: arguments of the law itself.
            **adapter: arguments of :func:`as_subject`.

        Returns:
            the result.
        """
        subject = as_subject(model, **adapter)
        frames = as_structures(structures)
        lacking = [f"{need}: {subject.lacks[need]}" for need in self.needs if need in subject.lacks]
        if lacking:
            return Result(self.name, "n/a", reason="; ".join(lacking))
        start = time.perf_counter()
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                checks = tuple(self.measure(subject, frames, **(options or {})))
        except Exception as error:  # whatever the model raises breaks the law
            reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            return Result(self.name, "fail", reason=reason, seconds=time.perf_counter() - start)
        verdict = "pass" if checks and all(check.passed for check in checks) else "fail"
        return Result(self.name, verdict, checks=checks, seconds=time.perf_counter() - start)  # type: ignore[arg-type]

    def __repr__(self) -> str:
        return f"Law({self.name!r}, needs={self.needs})"


def law(*needs: str) -> Callable[[Callable[..., list[Check]]], Law]:
    """Make a function that measures into a law.

    Args:
        *needs: capabilities without which the law does not apply.

    Returns:
        the decorator.
    """
    return lambda measure: Law(measure, needs)


def as_structures(structures: Data | Sequence[Data]) -> list[Data]:
    """Structures with ``z``, ``pos`` and perhaps ``cell`` and ``pbc`` only, in float64.

    Args:
        structures: one or several.

    Returns:
        copies.

    Raises:
        ValueError: there are none, or one has no atoms.
    """
    frames = [structures] if isinstance(structures, Data) else list(structures)
    if not frames or any(frame.pos is None or len(frame.pos) == 0 for frame in frames):
        raise ValueError("'structures' must hold at least one structure, each with atoms, got none or an empty one")
    if any(len(frame.pos) == 1 and frame.get("cell") is not None for frame in frames):
        raise ValueError("'structures' must hold cells of at least two atoms (one alone feels no force), got one")
    return [_plain(frame) for frame in frames]


def _plain(frame: Data) -> Data:
    plain = Data(z=frame.z.detach().long().clone(), pos=frame.pos.detach().double().clone())
    pbc = frame.get("pbc")
    if frame.get("cell") is not None and (pbc is None or bool(pbc.any())):
        plain.cell = frame.cell.detach().double().reshape(1, 3, 3).clone()
        plain.pbc = torch.ones(1, 3, dtype=torch.bool) if pbc is None else pbc.detach().reshape(1, 3).clone()
    return plain
