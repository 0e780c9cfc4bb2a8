"""The training that is advised after an inspection: the command, why, and what to expect."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from torch_geometric.data import Data

from pyg_mpnn.data.labels import EnergyUnit
from pyg_mpnn.inspection.finding import Finding
from pyg_mpnn.training.settings import TrainingSettings

__all__ = ["Advice", "advise"]

STEPS = 5000  # of a training: what ethanol takes in ten minutes, and has mostly learned by
LONG = 60.0  # minutes
MANY_ATOMS = 256  # of a step
FEW_FRAMES = 50  # of which train sets aside a tenth to validate
LABELS = (
    "distances",
    "unit of the energies",
    "unit of the forces",
    "forces against energies",
    "stress against energies",
)
FEW = 2000  # components of forces, which a small model has enough parameters for


@dataclass(frozen=True)
class Advice:
    """A training that suits the structures.

    Args:
        flags: of ``pyg-mpnn train``, without those that name files and labels.
        reasons: for each choice, and what to expect; one sentence each.
        units: flags of ``pyg-mpnn convert`` that bring the files to eV and A first; none where they are.
        mend: checks whose warnings make a training worthless until they are mended, which no flag does.
    """

    flags: tuple[str, ...]
    reasons: tuple[str, ...]
    units: tuple[str, ...] = ()
    mend: tuple[str, ...] = ()

    def commands(self, given: Mapping[str, Any]) -> list[str]:
        """All commands to run, in order: one for each file whose units are others, then the training.

        Args:
            given: as of :meth:`command`.

        Returns:
            the commands, as a shell takes them.
        """
        if not self.units:
            return [self.command(given)]
        read = [key for key in given if key not in ("data", "test") and f"--{key.replace('_', '-')}" not in self.units]
        names = [word for key in read for word in flag_of(key, given[key])]
        files = {key: _as_list(given.get(key)) for key in ("data", "test")}
        targets = _in_ev([path for paths in files.values() for path in paths])
        lines = [shlex.join(["pyg-mpnn", "convert", *each, *self.units, *names]) for each in targets.items()]
        return [*lines, self.command({key: [targets[path] for path in paths] for key, paths in files.items()})]

    def command(self, given: Mapping[str, Any]) -> str:
        """The command to run.

        Args:
            given: flags that name files and labels, with their values; those that are None are left out.

        Returns:
            the command, as a shell takes it.
        """
        words = ["pyg-mpnn", "train"]
        for name, value in given.items():
            words += flag_of(name, value)
        return shlex.join([*words, *self.flags, "--out", "run"])


def _as_list(value: Any) -> list[str]:
    return [str(value)] if isinstance(value, (str, float, int)) else [str(each) for each in value or ()]


def flag_of(name: str, value: Any) -> list[str]:
    """A flag as it is typed, nothing where its value is None or empty."""
    values = _as_list(value)
    return [f"--{name.replace('_', '-')}", *values] if values else []


def _in_ev(paths: Sequence[str]) -> dict[str, str]:
    """Where each converted file goes: beside the other, under a name that no other has."""
    targets: dict[str, str] = {}
    for path in paths:
        name = Path(path).name
        short, whole = (str(Path(path).with_name(f"{stem}-eV.xyz")) for stem in (name.split(".")[0], name))
        targets.setdefault(path, whole if short in targets.values() else short)
    return targets


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
    flags, reasons = ["--cutoff", *(f"{cutoff:g}" for cutoff in cutoffs)], list[str]()
    units = _units(found, reasons)
    neighbours = found["neighbours"].numbers
    if "--length-unit" in units:
        reasons.append("Cutoff, batch and minutes are those of the file as it is: inspect the converted one again.")
    else:
        near = neighbours["mean"][-1]
        reasons.append(f"cutoff {', '.join(f'{c:g}' for c in cutoffs)} A: {near:.0f} neighbours on average.")
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
        volumes = [float(frame.cell.double().det().abs()) / len(frame.z) for frame in frames if "cell" in frame]
        moves = max(volumes) - min(volumes) > 1e-3 * max(volumes)
        after = "so that the cell may move afterwards" if moves else "but at one volume alone: others are not learned"
        reasons.append(f"Stresses are learned with weight 0.1 (--stress-weight), {after}.")
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
    mend = () if units else tuple(name for name in LABELS if name in found and found[name].severity == "warning")
    return Advice(tuple(flags), tuple(reasons), units, mend)


def _units(found: Mapping[str, Finding], reasons: list[str]) -> tuple[str, ...]:
    """Flags that bring energies, forces and positions to eV and A, where flags can."""
    energy, force, length, both = (
        found.get(name, Finding(name, "note", ""))
        for name in ("unit of the energies", "unit of the forces", "distances", "forces against energies")
    )
    bohr = length.severity == "warning" and "BOHR" in length.finding
    known = {finding.numbers.get("unit") for finding in (energy, force) if finding.severity != "note"}
    known = {str(unit).removesuffix("/A") for unit in known - {None}}  # forces tell that of energies, lengths in A
    could_be = [name.removesuffix("/A") for name in force.numbers.get("could_be", ())]
    if "unit" not in energy.numbers and force.severity == "warning" and len(could_be) > 1:
        reasons.append(
            f"Forces alone tell their unit to a factor of 5 only: {' or '.join(could_be)}. Look up which, give it to "
            "--energy-unit (and --length-unit), and inspect again."
        )
        return ()
    unit = known.pop() if len(known) == 1 else None
    if not known and unit in (None, "eV") and not bohr:
        return ()
    if known or both.severity == "warning" or unit not in (None, *get_args(EnergyUnit)):
        reasons.append(
            "No flag converts these units. Multiply in Python until energies are in eV and forces in eV/A (energies in "
            "hartree times 27.211, forces in hartree/bohr times 51.422), then inspect again."
        )
        return ()
    flags = ([] if unit in (None, "eV") else ["--energy-unit", unit]) + (["--length-unit", "bohr"] if bohr else [])
    reasons.append("Units first: the files are converted to eV and A, and the training reads what comes out.")
    return tuple(flags)


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
        why = "are few" if components < FEW else "are enough for base"
        reasons.append(f"How long it takes was not measured (--steps 5). {components} components of forces {why}.")
        return ["--size", "small" if components < FEW else "base", "--minutes", "10"]
    used = max(1, min(8, int(MANY_ATOMS / mean)))
    minutes = STEPS * timing.numbers["seconds_per_step"] * used / timing.numbers.get("batch_size", batch_size) / 60
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
