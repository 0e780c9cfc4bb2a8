"""What the commands of this floor share: the structure they start from, the folder, the threads."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from ase import Atoms, units
from ase.data import chemical_symbols
from ase.formula import Formula
from torch import nn

from pyg_mpnn.arguments import check_whole
from pyg_mpnn.data.compositions import combines
from pyg_mpnn.data.labels import LabelNames
from pyg_mpnn.data.read import SAMPLE, iterate_structures, unused_values
from pyg_mpnn.data.record import kept_volumes
from pyg_mpnn.files import hold_folder, refuse_held_folder
from pyg_mpnn.models import EnergyModel

__all__ = [
    "cpu_threads",
    "density_note",
    "empty_folder",
    "known_elements",
    "new_folder",
    "note_unlike_trained",
    "single_structure",
    "trained_volumes",
]

_ROOM = 0.02
"""Of the volume, beyond what training structures had, own estimate: 0.7 % of a distance."""


def single_structure(
    structure: str | Path,
    *,
    min_atoms: int = 2,
    constraints: bool = False,
    labels: LabelNames | None = None,
    announce: bool = True,
    frame: int = -1,
    used: Collection[str] = (),
) -> Atoms:
    """Read the structure that a command starts from, and print what the file holds besides that is not used.

    Args:
        structure: any file that training reads (of several frames the last), or the word ethanol for the first test
            frame of the shipped sample.
        min_atoms: fewer atoms than this are refused.
        constraints: whether the structure may have constraints.
        labels: what the file does not say.
        announce: whether to print which frame it is, and what is not used.
        frame: which of several, counted from 0, or from the end where negative.
        used: names of what the file holds besides that is used.

    Returns:
        The structure.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged, has no such frame, there are too few atoms, or constraints where none may be.
    """
    structures = iterate_structures(structure, "test", labels)
    if structure == SAMPLE:
        if frame not in (0, -1):
            raise ValueError(f"'frame' must be 0 or left out for the shipped sample, got {frame}")
        return next(structures)
    kept: deque[Atoms] = deque(maxlen=max(1, -frame))  # the last ones, or all up to the frame asked for
    for index, atoms in enumerate(structures):
        if frame < 0 or index == frame:
            kept.append(atoms)
    count = index + 1
    if not -count <= frame < count:
        raise ValueError(f"'frame' must be from {-count} to {count - 1} in {structure}, got {frame}")
    atoms = kept[0]
    if len(atoms) < min_atoms:
        raise ValueError(
            f"'structure' must have at least {min_atoms} atoms to move against each other, got {len(atoms)}"
        )
    if atoms.constraints and not constraints:
        raise ValueError(
            f"'structure' must have no constraints, got {atoms.constraints}; remove them with atoms.set_constraint(), "
            f"or run pyg-mpnn md, which keeps them"
        )
    if announce:
        place = frame % count
        words = f"the last of {count}" if place == count - 1 else f"of {count}"
        print(f"{structure}: starting from frame {place} ({words if count > 1 else 'the only one'}, counted from 0)")
    unused = [name for name in unused_values(atoms) if name not in used]
    if announce and unused:
        print(f"{structure}: present but not used: {', '.join(unused)}")
    return atoms


def empty_folder(out: str | Path) -> Path:
    """Make the folder for the results.

    Args:
        out: a folder that is new or empty.

    Returns:
        The folder, which exists now.

    Raises:
        FileExistsError: if there is something in it.
    """
    folder = Path(out)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"'out' must be a new or empty folder, got {folder}; choose another or remove it")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def new_folder(out: str | Path) -> Iterator[Path]:
    """Make the folder for the results, and keep it to this process.

    Args:
        out: a folder that is new or empty.

    Yields:
        The folder, while it is held.

    Raises:
        FileExistsError: if there is something in it, or another process works in it.
    """
    folder = Path(out)
    refuse_held_folder(folder)
    empty_folder(folder)
    with hold_folder(folder):
        yield folder


def known_elements(potential: EnergyModel, atoms: Atoms, where: str) -> None:
    """Refuse elements that a potential does not know, before a folder is made.

    Args:
        potential: the potential.
        atoms: the structure.
        where: what it is called in messages.

    Raises:
        ValueError: the potential was not trained on one of the elements.
    """
    try:
        potential.check_elements(torch.as_tensor(atoms.numbers, dtype=torch.long, device=potential.device))
    except ValueError as error:
        raise ValueError(f"{where} ({atoms.get_chemical_formula()}): {error}") from error


def note_unlike_trained(potential: nn.Module, atoms: Iterable[Atoms]) -> None:
    """Print for which structures a potential knows no total energy: no training compositions add up to theirs.

    Nothing where all is well, or where it is not known what the potential was trained on.

    Args:
        potential: the potential.
        atoms: structures.
    """
    trained = getattr(potential, "compositions", None)
    if trained is None:
        return
    formulas = {of.get_chemical_formula(): Counter(of.numbers.tolist()) for of in atoms}
    unlike = [name for name, counts in formulas.items() if not combines(trained, counts)]
    if not unlike:
        return
    names = [Formula.from_dict({chemical_symbols[z]: n for z, n in of.items()}).format("hill") for of in trained]
    shown = ", ".join(unlike[:3]) + (f" and {len(unlike) - 3} others" if len(unlike) > 3 else "")
    print(
        f"Note: {shown}: not a combination of what the potential was trained on ({', '.join(names)}), so its energy "
        "has an arbitrary constant, and its atoms may have surroundings that no training structure had"
    )


def trained_volumes(potential: nn.Module, atoms: Atoms) -> tuple[float, float] | None:
    """Volumes between which training structures of the same elements give a hold, 2 % beyond the extremes included.

    Args:
        potential: the potential.
        atoms: a structure.

    Returns:
        smallest and largest volume of this structure in A^3; None where it is not periodic in three directions, or not
        known.
    """
    known = kept_volumes(getattr(potential, "record", {})) or {}
    found = known.get(_elements(atoms)) if atoms.pbc.all() else None
    return None if found is None else (len(atoms) * found[0] * (1 - _ROOM), len(atoms) * found[1] * (1 + _ROOM))


def density_note(potential: nn.Module, atoms: Atoms) -> str | None:
    """Say where a crystal or liquid is denser or less dense than the training structures of the same elements.

    Args:
        potential: the potential.
        atoms: the structure with its present cell.

    Returns:
        what there is to say; None where all is well, the structure is not periodic in three directions, or nothing is
        known of the training.
    """
    record = getattr(potential, "record", {})
    known, limits = kept_volumes(record), trained_volumes(potential, atoms)
    if not atoms.pbc.all() or not record:
        return None
    if known is None:
        return (
            "Note: the file of the potential, of an earlier version, does not say at which densities it was trained; "
            "one trained anew does"
        )
    symbols = ", ".join(chemical_symbols[z] for z in _elements(atoms))
    if limits is None:
        return (
            f"Note: no training structure of {symbols} alone was periodic in three directions: densities and pressures "
            "are a guess"
        )
    volume, span = atoms.get_volume(), known[_elements(atoms)]
    if limits[0] <= volume <= limits[1]:
        return None
    mass = float(atoms.get_masses().mean()) * units._amu * 1e27  # of an atom: g/cm^3 times A^3
    volumes, densities = (
        " to ".join(dict.fromkeys(f"{value:.4g}" for value in values)) for values in (span, [mass / v for v in span])
    )
    return (
        f"WARNING: {'denser' if volume < limits[0] else 'less dense'} than the training structures of {symbols}: "
        f"{volume / len(atoms):.4g} A^3 per atom ({mass * len(atoms) / volume:.4g} g/cm^3 here), where they have "
        f"{volumes} ({densities}); the potential guesses there: train on such densities too"
    )


def _elements(atoms: Atoms) -> tuple[int, ...]:
    return tuple(sorted(set(atoms.numbers.tolist())))


@contextmanager
def cpu_threads(threads: int | None) -> Iterator[None]:
    """Use so many threads of torch for a while, then as many as before.

    Args:
        threads: their number; unchanged if None.

    Yields:
        Nothing.

    Raises:
        ValueError: a number below 1.
    """
    before = torch.get_num_threads()
    if threads is not None:
        check_whole(threads=threads)
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
