"""The training that is advised after an inspection: the command, why, and what to expect."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch_geometric.data import Data

from pyg_mpnn.inspection.finding import Finding
from pyg_mpnn.training.settings import TrainingSettings

__all__ = ["Advice", "advise"]

STEPS = 5000  # of a training: what ethanol takes in ten minutes, and has mostly learned by
LONG = 60.0  # minutes
MANY_ATOMS = 256  # of a step
FEW_FRAMES = 50  # of which train sets aside a tenth to validate
FEW = 2000  # components of forces, which a small model has enough parameters for


@dataclass(frozen=True)
class Advice:
    """A training that suits the structures.

    Args:
        flags: of ``pyg-mpnn train``, without those that name files and labels.
        reasons: for each choice, and what to expect; one sentence each.
    """

    flags: tuple[str, ...]
    reasons: tuple[str, ...]

    def command(self, given: Mapping[str, Any]) -> str:
        """The command to run.

        Args:
            given: flags that name files and labels, with their values; those that are None are left out.

        Returns:
            the command, as a shell takes it.
        """
        words = ["pyg-mpnn", "train"]
        for name, value in given.items():
            values = [value] if isinstance(value, (str, float, int)) else list(value or ())
            words += [f"--{name.replace('_', '-')}", *map(str, values)] if values else []
        return shlex.join([*words, *self.flags, "--out", "run"])


def advise(
    frames: Sequence[Data], findings: Sequence[Finding], cutoffs: Sequence[float], *, batch_size: int = 8
) -> Advice:
    """Choose cutoff, size, batch, minutes and weights from what the checks found.

    - Size: ``base``, which was measured to pay; ``small`` for fewer than 2000 force components, or where 5000 steps of
      the size that was timed take more than an hour.
    - Batch: 8 structures, fewer where they have more than 256 atoms together; by atoms where sizes vary threefold.
    - Minutes: about 5000 steps at the time that was measured, at least 10.

    Args:
        frames: structures that were inspected, without isolated atoms.
        findings: of the inspection.
        cutoffs: that it was told, in A.
        batch_size: structures a step when it timed the training.

    Returns:
        The advice.

    Source:
        own design; the sizes were measured on aspirin and ethanol (``docs/blocks.md``).
    """
    found = {finding.name: finding for finding in findings}
    sizes = [max(len(frame.z), 1) for frame in frames]
    mean, largest = sum(sizes) / len(sizes), max(sizes)
    flags, reasons = ["--cutoff", *(f"{cutoff:g}" for cutoff in cutoffs)], []
    neighbours = found["neighbours"].numbers
    reasons.append(
        f"cutoff {', '.join(f'{c:g}' for c in cutoffs)} A: {neighbours['mean'][-1]:.0f} neighbours on average."
    )
    flags += _batch(mean, largest, reasons)
    flags += _length(frames, found, mean, batch_size, reasons)
    if len(frames) < FEW_FRAMES:
        reasons.append(
            f"{len(frames)} structures are few: enough to try the way, not to trust the errors of those that validate; "
            "a hundred and more, from where the potential will go, are a start."
        )
    if not any("forces" in frame for frame in frames):
        reasons.append("There are no forces: energies alone need many more structures; compute forces if you can.")
    if any("forces" in frame for frame in frames) and any("energy" in frame for frame in frames):
        of = TrainingSettings
        reasons.append(
            f"Loss weights are left as they are: forces {of.force_weight:g}, energy {of.energy_weight:g}, at the end "
            f"{of.final_energy_weight:g} (--force-weight, --energy-weight, --final-energy-weight)."
        )
    if any("stress" in frame and bool(frame.stress.isfinite().any()) for frame in frames):
        reasons.append("Stresses are learned with weight 0.1 (--stress-weight), so that the cell may move afterwards.")
    elif any("pbc" in frame and bool(frame.pbc.all()) for frame in frames):
        reasons.append("Crystals or liquids without stresses: pressures will be guesses; compute stresses if you can.")
    composition = found["composition"].numbers
    if composition["isolated_atoms_eV"]:
        reasons.append("Energies of isolated atoms are taken from the file.")
    elif len(composition["elements"]) > composition["rank"]:
        lack = ", ".join(composition["elements"])
        reasons.append(
            f"For energies of other compositions give those of the isolated atoms of {lack}: --isolated takes a file "
            "of single atoms, or energies in eV by atomic number ('{1: -13.6, ...}')."
        )
    reasons.append(
        "The repulsion of nuclei (ZBL) is on, so that atoms never fall into each other; --no-zbl leaves it out."
    )
    for name in ("outliers", "duplicates"):
        if name in found and found[name].severity == "warning":
            reasons.append(f"Look at the {name} first: train stops at the worst of them unless --force-data is given.")
    return Advice(tuple(flags), tuple(reasons))


def _batch(mean: float, largest: int, reasons: list[str]) -> list[str]:
    if largest > 3 * mean:
        atoms = max(largest, math.ceil(min(8 * mean, MANY_ATOMS)))
        reasons.append(f"Sizes vary up to {largest} atoms: batches of at most {atoms} atoms in place of 8 structures.")
        return ["--batch-atoms", str(atoms)]
    size = max(1, min(8, int(MANY_ATOMS / mean)))
    reasons.append(f"{size} structure{'s' * (size != 1)} of {mean:.0f} atoms a step.")
    return ["--batch-size", str(size)]


def _length(
    frames: Sequence[Data], found: Mapping[str, Finding], mean: float, batch_size: int, reasons: list[str]
) -> list[str]:
    """Size and minutes."""
    components = 3 * sum(len(frame.z) for frame in frames if "forces" in frame)
    timing = found.get("training time")
    if timing is None or "seconds_per_step" not in timing.numbers:
        reasons.append("How long it takes was not measured (--steps 5).")
        return ["--size", "small" if components < FEW else "base", "--minutes", "10"]
    used = max(1, min(8, int(MANY_ATOMS / mean)))
    minutes = STEPS * timing.numbers["seconds_per_step"] * used / batch_size / 60
    timed = timing.numbers["size"]
    size = timed
    if components < FEW:
        size = "small"
        reasons.append(f"Size small: {components} components of forces are few.")
    elif minutes > LONG and timed != "small":
        size = "small"
        reasons.append(
            f"Size small: {STEPS} steps of {timed} would take {minutes:.0f} minutes here; with a GPU take base."
        )
    else:
        reasons.append(f"Size {size}: what was timed; base pays for most data; large takes three times as long a step.")
    if size != timed:
        reasons.append(
            f"20 minutes: steps of this size were not timed (inspect --size {size}); {STEPS} are a fair start."
        )
        return ["--size", size, "--minutes", "20"]
    asked = min(max(10, math.ceil(minutes / 5) * 5), int(LONG))
    steps = STEPS * asked / minutes
    reasons.append(
        f"{asked} minutes: about {steps:.0f} steps; {STEPS} are a fair start, errors go on falling for more. "
        "Compiled, which train does where it can, they take less time."
    )
    return ["--size", size, "--minutes", str(asked)]
