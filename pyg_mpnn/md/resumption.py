"""The state of a dynamics between two steps, to the last bit, and the folder that goes on after a kill."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase.md.md import MolecularDynamics

from pyg_mpnn.files import write_whole
from pyg_mpnn.md.integrators import INTEGRATORS

__all__ = ["StateFile", "digest", "read_states", "restore_state", "take_state"]

STATE = "state.npz"
SECONDS = 10.0
"""Time between two writings of the state: at most so much is computed again after a kill."""
_FREE = {
    "out",
    "resume",
    "steps",
    "trust",
    "threads",
    "device",
    "compile",
    "mode",
    "max_uncertainty",
    "on_uncertain",
}  # may be others than before


def take_state(dynamics: MolecularDynamics, rng: np.random.Generator) -> dict[str, Any]:
    """All that the next step depends on.

    Args:
        dynamics: an integrator of ASE, between two steps.
        rng: its source of random numbers.

    Returns:
        Arrays by name, and the state of the random numbers.

    Raises:
        AttributeError: the installed ASE keeps its state under other names.
    """
    atoms = dynamics.atoms
    state: dict[str, Any] = {
        "positions": atoms.positions.copy(),
        "momenta": atoms.get_momenta(),
        "cell": atoms.cell.array.copy(),
        "rng": rng.bit_generator.state,
    }
    for name in INTEGRATORS[type(dynamics).__name__].state:
        owner, attribute = _owner(dynamics, name)
        state[name] = np.array(getattr(owner, attribute))
    return state


def restore_state(dynamics: MolecularDynamics, rng: np.random.Generator, state: Mapping[str, Any], step: int) -> None:
    """Put a state back.

    Args:
        dynamics: an integrator of ASE, as newly built.
        rng: its source of random numbers.
        state: of :func:`take_state`.
        step: number of steps that it has behind it.
    """
    atoms = dynamics.atoms
    atoms.set_cell(state["cell"], scale_atoms=False, apply_constraint=False)
    atoms.positions[:] = state["positions"]
    atoms.set_momenta(state["momenta"], apply_constraint=False)
    rng.bit_generator.state = state["rng"]
    for name in INTEGRATORS[type(dynamics).__name__].state:
        owner, attribute = _owner(dynamics, name)
        value = np.array(state[name])
        setattr(owner, attribute, value if value.ndim else float(value))
    dynamics.nsteps = step


class StateFile:
    """The states of all copies of a dynamics at one step, in one file that is always whole.

    Args:
        folder: of the results.
        settings: of the run, kept beside the states.
        steps: the last step, whose state is always written.
        count: number of copies.
        seconds: time between two writings.
    """

    def __init__(
        self, folder: Path, settings: dict[str, Any], steps: int, *, count: int = 1, seconds: float = SECONDS
    ) -> None:
        self.path = folder / STATE
        self.settings, self.steps, self.count, self.seconds = settings, steps, count, seconds
        self._next = 0
        self._states: dict[int, dict[str, Any]] = {}
        self._written = time.monotonic()

    def due(self, step: int) -> bool:
        """Whether the states of this step are wanted: the same answer for all copies.

        Args:
            step: that was just completed.

        Returns:
            Whether :meth:`keep` shall be called.
        """
        if step in (self._next, self.steps):
            return True
        if self._next < step and time.monotonic() - self._written > self.seconds:
            self._next = step + 1  # copies that are through with this step take part in the next
        return False

    def keep(self, copy: int, step: int, state: dict[str, Any], notes: dict[str, Any]) -> None:
        """Keep the state of a copy; the last one to come writes the file.

        Args:
            copy: number of the copy.
            step: that was just completed.
            state: of :func:`take_state`.
            notes: plain values that go with it.
        """
        self._states[copy] = {**state, "notes": notes}
        if len(self._states) < self.count:
            return
        arrays: dict[str, Any] = {}
        plain: dict[str, dict[str, Any]] = {}
        for number, of in self._states.items():
            arrays |= {f"{number}/{name}": value for name, value in of.items() if isinstance(value, np.ndarray)}
            plain[str(number)] = {name: value for name, value in of.items() if not isinstance(value, np.ndarray)}
        content = json.dumps({"step": step, "settings": self.settings, "plain": plain}, default=str)
        with write_whole(self.path, "wb") as file:
            np.savez(file, content=np.array(content), **arrays)
        self._states = {}
        self._written = time.monotonic()


def read_states(folder: Path, settings: dict[str, Any]) -> tuple[int, list[dict[str, Any]], dict[str, Any]]:
    """Read what :class:`StateFile` wrote.

    Args:
        folder: of the results.
        settings: of the run that goes on, which must be those of the run that was started.

    Returns:
        The step, the state of each copy, and the settings that were kept.

    Raises:
        ValueError: there is no state, or the settings differ.
    """
    path = folder / STATE
    if not path.is_file():
        raise ValueError(
            f"'out' must hold {STATE} to resume from, got {str(folder)!r} without it: start again without 'resume' in "
            "an empty folder"
        )
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    content = json.loads(str(arrays.pop("content")))
    kept = content["settings"]
    new = json.loads(json.dumps(settings, default=str))
    differing = sorted(name for name in {*kept, *new} - _FREE if kept.get(name) != new.get(name))
    if differing:
        told = ", ".join(f"{name} {kept.get(name)!r}, now {new.get(name)!r}" for name in differing)
        raise ValueError(f"'resume' must go on with the same dynamics, got other values than it was begun with: {told}")
    states = []
    for number, plain in sorted(content["plain"].items(), key=lambda item: int(item[0])):
        own = {name.split("/", 1)[1]: value for name, value in arrays.items() if name.split("/", 1)[0] == number}
        states.append({**plain, **own})
    return content["step"], states, kept


def digest(path: str | Path) -> str | None:
    """Fingerprint of a file, by which another content under the same name is found out.

    Args:
        path: the file.

    Returns:
        SHA-256; None for what is no file.
    """
    return hashlib.sha256(Path(path).read_bytes()).hexdigest() if Path(path).is_file() else None


def _owner(dynamics: Any, name: str) -> tuple[Any, str]:
    """The object that has the last of the names joined by dots."""
    *path, last = name.split(".")
    for part in path:
        dynamics = getattr(dynamics, part)
    if not hasattr(dynamics, last):
        import ase

        raise AttributeError(f"ASE {ase.__version__} keeps no {name}: exact resumption knows ASE 3.29")
    return dynamics, last
