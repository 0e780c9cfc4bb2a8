"""What the commands of this floor share: the structure they start from, the folder, the threads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
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

__all__ = ["cpu_threads", "empty_folder", "single_structure", "note_unlike_trained"]


def single_structure(
    structure: str | Path,
    *,
    min_atoms: int = 2,
    constraints: bool = False,
    labels: LabelNames | None = None,
    announce: bool = True,
) -> Atoms:
    """Read the structure that a command starts from, and print what the file holds besides that is not used.

    Args:
        structure: any file that training reads (of several frames the last), or the word ethanol for the first test
            frame of the shipped sample.
        min_atoms: fewer atoms than this are refused.
        constraints: whether the structure may have constraints.
        labels: what the file does not say.
        announce: whether to print what is not used.

    Returns:
        The structure.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged, there are too few atoms, or constraints where none may be.
    """
    structures = iterate_structures(structure, "test", labels)
    if structure == SAMPLE:
        return next(structures)
    for count, atoms in enumerate(structures, start=1):  # noqa: B007
        pass
    if len(atoms) < min_atoms:
        raise ValueError(
            f"'structure' must have at least {min_atoms} atoms to move against each other, got {len(atoms)}"
        )
    if atoms.constraints and not constraints:
        raise ValueError(
            f"'structure' must have no constraints, got {atoms.constraints}; remove them with atoms.set_constraint(), "
            f"or run ASE's dynamics with a PotentialCalculator"
        )
    if announce and count > 1:
        print(f"{structure}: the last of {count} structures")
    unused = unused_values(atoms)
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
