"""What a reader found in a file, and how it is said."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch_geometric.data import Data

from pyg_mpnn.data.frames import check_frame
from pyg_mpnn.data.labels import LABELS, LabelNames

_LEFT_OUT = "left out"


def _add_it(label: str, where: str) -> str:
    return f"{label!r} is missing in {where}: add it, or leave the structure out."


@dataclass
class Contents:
    """The structures of a file and what is known of their labels.

    Args:
        path: the file.
        frames: its structures, in eV and A; to be gone through once.
        names: name in the file by label, of those that are read.
        held: names of all that the file holds.
        unused: names of what is not read.
        notes: what else is to be said, one sentence each.
        missing: the message about a label that the last structure lacks, from the label and the structure in words.
        others: what the last structure holds and what is not read, by name.
        numbers: of structures, and of those that have each label, as far as they were gone through.
        fixed: whether the format has names of its own.
        named: labels whose names the user gave: structures without any are left out, and counted.
        kept: numbers in the file of the structures that were yielded.
        method: what must be the same in all files for their energies to go together, in words; empty where unknown.
    """

    path: Path
    frames: Iterable[Data]
    names: Mapping[str, str]
    held: Collection[str] = ()
    unused: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    missing: Callable[[str, str], str] = _add_it
    others: Callable[[], Mapping[str, Any]] = dict
    numbers: Counter[str] = field(default_factory=Counter)
    fixed: bool = False
    named: Collection[str] = ()
    method: str = ""
    kept: list[int] = field(default_factory=list)

    def checked(
        self,
        wanted: Collection[str],
        required: Collection[str] | None = None,
        others: Collection[str] = (),
        *,
        only_note: bool = False,
    ) -> Iterator[Data]:
        """The structures, checked, without labels that are not wanted; they are counted.

        Args:
            wanted: the labels to keep.
            required: labels that each must have; without it each must have one of those that are wanted, and nothing
                that looks like one of those that it lacks and that the user did not name.
            others: further values, one of which is enough too; NaN is unknown.
            only_note: whether what looks like a label is a note and no error.

        Yields:
            the structures.

        Raises:
            ValueError: a structure is unusable or lacks a label; the message names it.
        """
        for index, frame in enumerate(self.frames):
            where = f"frame {index} of {self.path}"
            for name in LABELS:
                if name in frame and name not in wanted:
                    del frame[name]
            lacking = [name for name in wanted if name not in frame]
            known = [name for name in others if name in frame and not bool(frame[name].isnan().all())]
            bare = bool(wanted) and len(lacking) == len(wanted) and not known
            if required is None and bare and self.named:
                self.numbers[_LEFT_OUT] += 1
                continue
            if required is not None:
                lacking = [name for name in lacking if name in required]
            elif not bare:
                lacking = [name for name in lacking if name not in self.named]
                lacking = [name for name in lacking if self._has_other(name, tuple(frame.pos.shape))]
                if lacking and only_note:
                    noted, lacking = self.missing(lacking[0], where), []
                    self.notes += [] if self.notes and self.notes[-1].startswith(noted[:10]) else [noted]
            check_frame(frame, where)
            if lacking:
                raise ValueError(self.missing(lacking[0], where))
            self.numbers.update(["structures", *(name for name in LABELS if name in frame), *known])
            self.kept.append(index)
            yield frame
        if not self.numbers["structures"]:
            raise ValueError(f"'path' must hold at least one structure, got none in {self.path}.")

    def _has_other(self, label: str, shape: tuple[int, ...]) -> bool:
        """Whether the last structure has a value that looks like a label, under a name that is not read."""
        if label == "stress":
            return False
        fits, word = (shape, "force") if label == "forces" else ((), "energy")
        return any(word in name.lower() and np.shape(value) == fits for name, value in self.others().items())

    def summary(self) -> dict[str, Any]:
        """What was read, as plain values for a model card.

        Returns:
            number of structures, name and number of structures of each label, names that are not used.
        """
        read = [label for label in self.numbers if label not in ("structures", _LEFT_OUT)]
        labels = {label: f"{self.names.get(label, label)} in {self.numbers[label]}" for label in read}
        found: dict[str, Any] = {"file": str(self.path), "structures": self.numbers["structures"], "labels": labels}
        if self.numbers[_LEFT_OUT]:
            found["left_out"] = self.numbers[_LEFT_OUT]
        return {**found, "unused": list(self.unused)}

    def describe(self) -> str:
        """What was read, for the terminal.

        Returns:
            one line, one of what is not used, and one for each note.
        """
        return "\n".join([describe(self.summary()), *(f"  {note}" for note in self.notes)])


def describe(summary: Mapping[str, Any]) -> str:
    """What was read, for the terminal.

    Args:
        summary: of :meth:`Contents.summary`.

    Returns:
        one line, and one of what is not used.
    """
    labels, count = summary["labels"], summary["structures"]
    names = [*LABELS, *(label for label in labels if label not in LABELS)]
    parts = [f"{label} from {labels[label]}" if label in labels else f"no {label}" for label in names]
    left_out = summary.get("left_out", 0)
    parts += [f"{left_out} others have none of these and are LEFT OUT"] if left_out else []
    unused = f"\n  present but not used: {', '.join(summary['unused'])}" if summary["unused"] else ""
    return f"{summary['file']}: {count} structure{'s' * (count != 1)}; {', '.join(parts)}{unused}"


def note_fixed_names(names: LabelNames, kind: str) -> list[str]:
    """What to say where names of labels are given and a format has its own."""
    given = ", ".join(f"{label} {name!r}" for label, name in names.given.items())
    return [f"{kind} has names of its own: those given ({given}) do not count here"] if given else []


def refuse_typos(contents: Sequence[Contents], names: LabelNames) -> None:
    """Refuse a name of a label that no structure has.

    Args:
        contents: all files that are read together.
        names: what the user says.

    Raises:
        ValueError: no structure has a value of this name.
    """
    contents = [found for found in contents if not found.fixed]
    if not contents:
        return
    held = set().union(*(found.held for found in contents))
    for label, name in names.given.items():
        if name not in held:
            raise ValueError(
                f"'{label}_key' must name a value of a structure, got {name!r}, which none has in "
                f"{', '.join(str(found.path) for found in contents)}; they hold {listed(held)}: correct the name "
                f"(--{label}-key, in Python LabelNames({label}=...))."
            )


def compare_methods(contents: Sequence[Contents]) -> list[str]:
    """What to say where energies of several files do not go together.

    Args:
        contents: all files that are read together.

    Returns:
        a sentence for each file whose method differs from that of the first that says one, by element where it can.
    """
    known = [found for found in contents if found.method]
    of_elements: dict[str, tuple[str, Path]] = {}
    texts = []
    for found in known:
        if not found.method.startswith("pseudopotentials "):
            named = found.method.removeprefix("energies of ")
            first, path = of_elements.setdefault("energies", (named, found.path))
            if first != named:
                texts.append(
                    f"WARNING: {found.path} has energies of {named!r} and {path} of {first!r}: they do not go "
                    "together; leave one of the files out."
                )
            continue
        for title in found.method.removeprefix("pseudopotentials ").split(", "):
            words = title.split()
            element = re.split(r"[_.]", words[1] if len(words) > 1 else words[0])[0]
            first, path = of_elements.setdefault(element, (title, found.path))
            if first != title:
                texts.append(
                    f"WARNING: {found.path} has the pseudopotential {title!r} and {path} has {first!r}: their energies "
                    "do not go together; leave one of the files out."
                )
    return texts


def listed(held: Collection[str]) -> str:
    """Names of what a structure holds besides atoms."""
    return ", ".join(sorted(set(held) - {"numbers", "positions"})) or "positions alone"
