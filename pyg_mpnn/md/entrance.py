"""What the commands of this floor share: the structure they start from, the folder, the threads."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from ase import Atoms
from ase.data import chemical_symbols
from ase.formula import Formula
from torch import nn

from pyg_mpnn.arguments import check_whole
from pyg_mpnn.data.compositions import combines
from pyg_mpnn.data.labels import LabelNames
from pyg_mpnn.data.read import SAMPLE, iterate_structures, unused_values
from pyg_mpnn.files import hold_folder, refuse_held_folder
from pyg_mpnn.models import EnergyModel

__all__ = ["cpu_threads", "empty_folder", "new_folder", "single_structure", "known_elements", "note_unlike_trained"]


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
