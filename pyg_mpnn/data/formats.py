"""Which reader a file has: one small table, by name and by content."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from pyg_mpnn.data.ase_files import in_angstrom, iterate_images, read_ase
from pyg_mpnn.data.contents import Contents
from pyg_mpnn.data.convert import to_atoms
from pyg_mpnn.data.deepmd import is_deepmd, read_deepmd
from pyg_mpnn.data.labels import LabelNames
from pyg_mpnn.data.md17 import how_to_get, is_npz, read_md17
from pyg_mpnn.data.pymatgen_json import is_pymatgen, read_pymatgen

if TYPE_CHECKING:
    import ase


@dataclass(frozen=True)
class Format:
    """One kind of file.

    Args:
        name: in words.
        matches: whether an existing path is of this kind, by its name or content.
        read: reads the structures with the labels that the file has, in eV and A: path, dtype, what the file does not
            say, whether all may be in memory together.
        images: reads them one at a time as ASE structures with all that they carry; made by ``read`` where it is None.
    """

    name: str
    matches: Callable[[Path], bool]
    read: Callable[[Path, torch.dtype, LabelNames, bool], Contents]
    images: Callable[[Path, LabelNames], Iterator[ase.Atoms]] | None = None

    def iterate(self, path: Path, names: LabelNames) -> Iterator[ase.Atoms]:
        """The structures as ASE structures in A, one in memory at a time where the format allows it.

        Args:
            path: the file.
            names: what the file does not say.

        Yields:
            the structures; those that ASE reads with constraints, momenta and all else that they carry.

        Raises:
            ValueError: the file is damaged.
        """
        if self.images is None:
            yield from map(to_atoms, self.read(path, torch.float64, names, True).frames)
        else:
            for atoms in self.images(path, names):
                yield in_angstrom(atoms, names)


FORMATS: list[Format] = [
    Format("MD17, revised MD17 or sGDML", is_npz, read_md17),
    Format("DeePMD", is_deepmd, read_deepmd),
    Format("pymatgen's JSON", is_pymatgen, read_pymatgen),
    Format("what ASE reads", Path.is_file, read_ase, iterate_images),
]
"""The first that matches reads; another format is a function and a line here."""


def find_format(path: Path) -> Format:
    """The reader of a path.

    Args:
        path: a file, or a folder of a format that is one.

    Returns:
        its format.

    Raises:
        FileNotFoundError: there is nothing, or a folder of no known format.
    """
    for kind in FORMATS:
        if path.exists() and kind.matches(path):
            return kind
    what = "a folder: QM9 needs a 'target'." if path.is_dir() else "neither: check the name."
    raise FileNotFoundError(
        f"'data', 'test' and 'structures' must be files or the word ethanol (the shipped sample), got {str(path)!r}, "
        f"which is {what}{how_to_get(path)}"
    )
