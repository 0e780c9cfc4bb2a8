"""Teacher and student side by side: errors, spread, and time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from ase import Atoms
from torch import Tensor
from torch_geometric.data import Data

from pyg_mpnn.data import to_data
from pyg_mpnn.learning.labelling import Labeller
from pyg_mpnn.learning.teacher import Label, Teacher
from pyg_mpnn.models import Committee
from pyg_mpnn.training.metrics import Errors, Predictions, compute_errors

_TIMED, _SECONDS = 20, 30.0  # structures at most, and time after which none is begun
_SHAPES = {"energy": (1,), "stress": (1, 3, 3)}


def errors_of_labels(labelled: Sequence[Atoms], references: Sequence[Data]) -> Errors:
    """Errors of a teacher.

    Args:
        labelled: Structures with its labels.
        references: The same with reference labels.

    Returns:
        The errors.

    Units:
        meV, meV/A, as the names say.
    """
    given = [to_data(atoms) for atoms in labelled]

    def column(frames: Sequence[Data], name: str) -> Tensor | None:
        if not any(name in frame for frame in references):
            return None
        rows = []
        for frame in frames:
            shape = _SHAPES.get(name, (len(frame.z), 3))
            rows.append(frame[name].double() if name in frame else torch.full(shape, torch.nan, dtype=torch.float64))
        return torch.cat(rows)

    def pair(name: str) -> tuple[Tensor | None, Tensor | None]:
        values, known = column(given, name), column(references, name)
        if values is not None and known is not None:
            known = torch.where(values.isnan(), torch.nan, known)
        return values, known

    sizes = torch.tensor([len(frame.z) for frame in references])
    return compute_errors(Predictions(sizes, *pair("energy"), *pair("forces"), *pair("stress")))


def mean_offset(labelled: Sequence[Atoms], references: Sequence[Data]) -> float | None:
    """Mean difference of the energies of a teacher to the reference, per atom.

    Args:
        labelled: Structures with its labels.
        references: The same with reference labels.

    Returns:
        The difference; None where the references have no energies.

    Units:
        meV.
    """
    differences = [
        (atoms.get_potential_energy() - float(frame.energy)) / len(atoms)
        for atoms, frame in zip(labelled, references, strict=True)
        if "energy" in frame and not bool(frame.energy.isnan())
    ]
    return 1e3 * statistics.fmean(differences) if differences else None


def spread_of(committee: Committee, structures: Sequence[Atoms]) -> float:
    """Root mean square error bar of a force component: how far the members of a teacher are apart.

    Args:
        committee: The teacher.
        structures: Where.

    Returns:
        The spread.

    Units:
        meV/A.
    """
    with torch.no_grad():
        bars = torch.cat([committee(to_data(atoms)).others["forces_std"] for atoms in structures])
    return 1e3 * float(bars.double().square().mean().sqrt())


def seconds_of(teacher: Teacher, structures: Sequence[Atoms], log: Path) -> tuple[float, int]:
    """Time for energy and forces of a structure, by an ASE calculator in a process of its own, the first call left out.

    Args:
        teacher: Whose time it is.
        structures: Different ones; of a slow teacher only as many as it labels in half a minute, at least one.
        log: For what it prints.

    Returns:
        The median, and of how many structures.

    Units:
        s.

    Raises:
        ValueError: The teacher has no label for any.
    """
    times: list[float] = []
    begun = None
    with Labeller(teacher, log) as labeller:
        for place in range(min(len(structures), _TIMED) + 1):
            (found,) = (answer for _, answer in labeller.label([structures[place % len(structures)]]))
            if begun is None:  # it imports, compiles, and allocates
                begun = time.monotonic()
            elif isinstance(found, Label):
                times.append(found.seconds)
            if times and time.monotonic() - begun > _SECONDS:
                break
    if not times:
        raise ValueError(f"'teacher' must have a label for a structure to be timed by, got none of {teacher}")
    return statistics.median(times), len(times)
