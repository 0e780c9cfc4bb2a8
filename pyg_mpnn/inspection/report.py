"""Structures to look at, all checks of them, as a table and as JSON."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from torch_geometric.data import Data

from pyg_mpnn.data import LabelNames
from pyg_mpnn.data.frames import CheckedFrames, is_isolated_atom, prepare_frames
from pyg_mpnn.data.read import load_frames
from pyg_mpnn.geometry import as_cutoffs
from pyg_mpnn.inspection.advice import Advice, advise
from pyg_mpnn.inspection.consistency import check_consistency, check_stress
from pyg_mpnn.inspection.finding import Finding
from pyg_mpnn.inspection.jumps import check_jumps
from pyg_mpnn.inspection.learning_curve import learning_curve
from pyg_mpnn.inspection.structures import check_composition, check_distances, check_neighbors
from pyg_mpnn.inspection.suspects import check_duplicates, check_outliers
from pyg_mpnn.inspection.training_time import check_training_time
from pyg_mpnn.inspection.units import check_energy_units, check_force_units
from pyg_mpnn.models.sizes import Size

__all__ = ["load_labelled", "Inspection", "inspect_frames"]


def load_labelled(
    source: str | Path | Sequence[str | Path],
    split: Literal["train", "test"] = "train",
    labels: LabelNames | None = None,
) -> CheckedFrames:
    """Read the structures with energies, which all checks need; how many have none is printed.

    Args:
        source: A file that :func:`~pyg_mpnn.data.read_structures` reads, or the word ``ethanol``, or several of these.
        split: Which half of the shipped ethanol the word means.
        labels: What the files do not say.

    Returns:
        One structure a frame.

    Units:
        A, eV, eV/A, eV/A^3.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a structure is unusable, or none has an energy.
    """
    frames = load_frames(source, split, labels, required=["energy"], only_note=True)
    places = [place for place, frame in enumerate(frames) if "energy" in frame]
    if len(places) == len(frames):
        return frames
    print(f"{len(frames) - len(places)} structures without an energy are not looked at")
    return frames.take(places)


@dataclass(frozen=True)
class Inspection:
    """What all checks found; ``print`` shows the table.

    Args:
        findings: in the order of the checks.
        advice: the training that suits the structures.
    """

    findings: tuple[Finding, ...]
    advice: Advice

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings that are warnings."""
        return tuple(finding for finding in self.findings if finding.severity == "warning")

    def to_json(self) -> str:
        """The findings as JSON.

        Returns:
            The text.
        """
        content: dict[str, Any] = {"findings": [asdict(finding) for finding in self.findings]}
        content |= {"num_warnings": len(self.warnings), "advice": asdict(self.advice)}
        return json.dumps(content, indent=2)

    def __str__(self) -> str:
        width = max(len(finding.name) for finding in self.findings)
        lines = []
        for finding in self.findings:
            head = f"{finding.severity:<8} {finding.name:<{width}}  "
            wrapped = textwrap.wrap(finding.finding, width=max(110 - len(head), 40))
            lines += [head + wrapped[0], *(" " * len(head) + line for line in wrapped[1:])]
        count = len(self.warnings)
        lines.append(f"\n{count} warning{'s' * (count != 1)}" + (": look at these before training" if count else ""))
        return "\n".join(lines)


def inspect_frames(
    frames: Sequence[Data],
    test: Sequence[Data] = (),
    *,
    cutoff: float | Sequence[float] = 5.0,
    size: Size = "base",
    batch_size: int = 8,
    steps: int = 5,
    minutes: float = 0.0,
    device: str = "cpu",
    progress: Callable[[str], None] = lambda _: None,
) -> Inspection:
    """Look at structures before training on them.

    Args:
        frames: structures with energies; checks of forces look at those that have them.
        test: structures of the test.
        cutoff: of the model to train, in A, or several.
        size: of the model to train.
        batch_size: structures a step of the training.
        steps: of training to time; 0 leaves that out.
        minutes: for a learning curve; 0 leaves that out.
        device: where the trainings are timed.
        progress: called with the name of each check before it runs.

    Returns:
        The findings.

    Units:
        eV, A and combinations, as which the labels are read.

    Raises:
        ValueError: there are no structures, or one is unusable.

    Example:
        >>> from pyg_mpnn.data import ethanol
        >>> found = inspect_frames(ethanol("train")[:200], cutoff=5.0, size="small", steps=0)
        >>> found.warnings
        ()
    """
    every = prepare_frames(frames, required=("energy",))
    data = [frame for frame in every if not is_isolated_atom(frame)] or every
    alone = [frame for frame in every if is_isolated_atom(frame)] if len(data) < len(every) else []
    pulled = [frame for frame in data if "forces" in frame] or data
    held_out = prepare_frames(test, required=("energy",)) if len(test) else []
    cutoffs = as_cutoffs(cutoff)
    checks: list[tuple[str, Callable[[], Finding]]] = [
        ("composition", lambda: check_composition(data, alone)),
        ("distances", lambda: check_distances(data)),
        ("energy units", lambda: check_energy_units(data)),
        ("force units", lambda: check_force_units(pulled)),
        ("consistency", lambda: check_consistency(pulled)),
        ("stress", lambda: check_stress(data)),
        ("one method", lambda: check_jumps(data)),
        ("outliers", lambda: check_outliers(data)),
        ("duplicates", lambda: check_duplicates(data, held_out)),
        ("neighbours", lambda: check_neighbors(data, cutoffs)),
    ]
    if steps:
        options: dict[str, Any] = {"size": size, "batch_size": batch_size, "steps": steps, "device": device}
        checks.append(("training time", lambda: check_training_time(data, cutoffs, **options)))
    if minutes:
        curve: dict[str, Any] = {"minutes": minutes, "device": device, "progress": progress}
        checks.append(("learning curve", lambda: learning_curve(data, cutoffs, **curve)))
    findings = []
    for name, check in checks:
        progress(name)
        findings.append(check())
    return Inspection(tuple(findings), advise(data, findings, cutoffs, batch_size=batch_size))
