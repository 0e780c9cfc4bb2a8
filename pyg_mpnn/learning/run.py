"""What a run keeps on the disk, so that it goes on where it was: settings, state, labels, and the time it took."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms

from pyg_mpnn.data import LabelNames, to_data
from pyg_mpnn.data.read import iterate_structures
from pyg_mpnn.files import write_json
from pyg_mpnn.inspection import check_energy_units, check_force_units
from pyg_mpnn.learning.asking import Asking
from pyg_mpnn.learning.clock import Clock
from pyg_mpnn.learning.distill_settings import DistillSettings
from pyg_mpnn.learning.labelling import Labeller
from pyg_mpnn.learning.labels import LabelStore, digest
from pyg_mpnn.learning.sampling import CLOSEST, closeness
from pyg_mpnn.learning.settings import LearnSettings
from pyg_mpnn.learning.teacher import as_written
from pyg_mpnn.training.fine_tuning import load_start

STATE = "state.json"


def check_folder(out: Path, resume: bool) -> None:
    """Refuse a folder that holds something, or one without a state where a run is to go on.

    Args:
        out: The folder for the results.
        resume: Whether to go on.

    Raises:
        FileExistsError: A new run, and the folder is not empty.
        FileNotFoundError: There is nothing to go on from.
    """
    if resume and not (out / STATE).is_file():
        raise FileNotFoundError(f"'out' must hold {STATE} to resume, got {out} without: start without 'resume'")
    if not resume and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"'out' must be a new or empty folder, got {out}: choose another, or say 'resume'")


def check_start(atoms: Atoms, where: str) -> None:
    """Refuse a structure that no label could be of as it stands.

    Args:
        atoms: The structure.
        where: Its place, for the error.

    Raises:
        ValueError: It is an atom, or has constraints.
    """
    if len(atoms) < 2:
        raise ValueError(f"'structures' must have at least 2 atoms each, got {len(atoms)} in {where}")
    if atoms.constraints:
        raise ValueError(
            f"'structures' must have no constraints, which labels would not have, got some in {where}: remove them"
        )


def read_starts(settings: LearnSettings) -> list[Atoms]:
    """The structures to start from, at most half as many as a round labels.

    Args:
        settings: Their file, and the number of labels.

    Returns:
        The structures, as they are written.

    Units:
        A.

    Raises:
        ValueError: A structure is an atom, has constraints, or atoms on top of each other.
    """
    found = []
    for index, atoms in enumerate(iterate_structures(settings.structures, "test", LabelNames())):
        where = f"structure {index} of {settings.structures}"
        check_start(atoms, where)
        if closeness(atoms) <= CLOSEST:
            raise ValueError(
                f"'structures' must not have atoms on top of each other, got two at {closeness(atoms):.2f} of the sum "
                f"of their covalent radii in {where}: relax it first"
            )
        found.append(as_written(atoms))
    most = settings.labels // 2
    if len(found) > most:
        print(f"{len(found)} start structures: {most} of them are used, evenly over the file (half of --labels)")
        found = [found[place] for place in np.linspace(0, len(found) - 1, most).round().astype(int)]
    return found


def check_weights(settings: LearnSettings, starts: Sequence[Atoms]) -> None:
    """Refuse weights to start from that are not there or lack an element, before the teacher is asked for anything.

    Args:
        settings: Names them, or none.
        starts: The structures to start from.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It holds no potential, or one that does not know an element.
    """
    if settings.start_from is None:
        return
    known = load_start(settings.start_from, torch.float32, settings.trust).elements
    unknown = sorted({int(z) for atoms in starts for z in atoms.numbers} - set(known))
    if unknown:
        raise ValueError(
            f"'start_from' must know all elements of the start structures, got {settings.start_from!r} of the atomic "
            f"numbers {list(known)} beside {unknown}: leave it out"
        )


class Run:
    """State, labels and clock of a run; begun, or gone on with.

    Args:
        settings: What the run is told.
        free: Names of settings that may differ where it goes on.
        starts: Structures that it begins with.
        labeller: The teacher's processes.
        **fresh: What the state of a new run holds besides its settings.

    Raises:
        ValueError: What is resumed had other settings or structures.
        OSError: The state cannot be written.
    """

    def __init__(
        self,
        settings: LearnSettings | DistillSettings,
        free: Collection[str],
        starts: Sequence[Atoms],
        labeller: Labeller,
        **fresh: Any,
    ) -> None:
        self.starts, self.out = starts, Path(settings.out)
        kept = {name: value for name, value in asdict(settings).items() if name not in free}
        kept = json.loads(json.dumps({**kept, "starts": [digest(atoms) for atoms in starts]}))
        self.state: dict[str, Any] = {"settings": kept, "noise_meV_per_A": None, "doubts": [], "seconds": 0.0, **fresh}
        if settings.resume:
            self.state = json.loads((self.out / STATE).read_text())
            before = self.state["settings"]
            differing = [f"'{name}'{_was(before.get(name))}" for name in kept if before.get(name) != kept[name]]
            if differing:
                raise ValueError(
                    f"'resume' must go on with the same settings, got other values for {', '.join(differing)}"
                )
        self.clock = Clock(self.out, self.state["seconds"])
        self.store = LabelStore(self.out)
        self.ask = Asking(self.store, labeller, self.say, {int(z) for atoms in starts for z in atoms.numbers})
        self.keep()

    @property
    def seconds(self) -> float:
        """What the run took so far, that before a kill included."""
        return self.clock.seconds

    @property
    def asked(self) -> int:
        """Number of structures that the teacher was asked for."""
        return len(self.store) + len(self.store.failed)

    def keep(self) -> None:
        """Write the state."""
        self.state["seconds"] = self.seconds
        write_json(self.out / STATE, self.state)

    def say(self, text: str) -> None:
        """Tell the user, with time and number of labels.

        Args:
            text: One line.
        """
        print(f"[{self.seconds / 60:6.1f} min, {self.asked:4d} labels] {text}", flush=True)

    def doubt(self, labelled: Sequence[Atoms]) -> None:
        """Warn of labels in what looks like other units, and keep that.

        Args:
            labelled: Structures with labels.
        """
        data = [to_data(atoms) for atoms in labelled]
        self.state["doubts"] = [
            f"{finding.name}: {finding.finding}"
            for finding in (check_energy_units(data), check_force_units(data))
            if finding.severity == "warning"
        ]
        for doubt in self.state["doubts"]:
            self.say(f"WARNING: {doubt}")


def _was(value: Any) -> str:
    text = str(value)
    return f" (was {text})" if len(text) < 200 else ""
