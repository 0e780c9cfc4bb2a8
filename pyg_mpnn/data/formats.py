"""Which reader a file has: one small table, by name and by content."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from pyg_mpnn.data.ase_files import read_ase, read_images
from pyg_mpnn.data.ase_images import in_angstrom, iterate_images
from pyg_mpnn.data.contents import Contents
from pyg_mpnn.data.convert import to_atoms
from pyg_mpnn.data.cp2k import (
    is_cp2k,
    is_cp2k_positions,
    iterate_cp2k,
    iterate_cp2k_positions,
    scan_cp2k,
    scan_positions,
)
from pyg_mpnn.data.database_units import with_units_of_database
from pyg_mpnn.data.deepmd import is_deepmd, read_deepmd
from pyg_mpnn.data.gaussian import is_gaussian, iterate_gaussian, scan_gaussian
from pyg_mpnn.data.hdf5 import UNITS as HDF5_UNITS
from pyg_mpnn.data.hdf5 import is_hdf5, iterate_hdf5
from pyg_mpnn.data.labels import LabelNames
from pyg_mpnn.data.md17 import how_to_get, is_npz, read_md17
from pyg_mpnn.data.orca import is_orca, iterate_orca, scan_orca
from pyg_mpnn.data.program_outputs import Scan
from pyg_mpnn.data.pyg_files import UNITS as PYG_UNITS
from pyg_mpnn.data.pyg_files import is_pyg, iterate_pyg
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
            names = with_units_of_database(path, names)
            for atoms in self.images(path, names):
                yield in_angstrom(atoms, names)


def _of_images(
    name: str,
    matches: Callable[[Path], bool],
    images: Callable[[Path, LabelNames], Iterator[ase.Atoms]],
    scan: Callable[[Path], Scan],
) -> Format:
    """A format that is read structure by structure, in units of its own."""
    return Format(name, matches, partial(read_images, images=images, scan=scan), images)


def _said(name: str, units: str) -> Callable[[Path], Scan]:
    return lambda path: Scan(program=name, units=units)


def _is_pickled(path: Path) -> bool:
    return path.suffix == ".lmdb"


def _refuse_pickled(path: Path, dtype: torch.dtype, names: LabelNames, keep: bool = True) -> Contents:
    """Refuse what cannot be read without running code that is in it."""
    raise ValueError(
        f"'path' must hold no pickles, got {path}: LMDB files of OCP hold objects of PyG that only pickle reads, which "
        "runs any code in them. Convert it where you trust it, to extended XYZ or .aselmdb; the folder that --stream "
        "makes is named by the file that it was made of."
    )


def _is_pointer(path: Path) -> bool:
    return path.is_file() and path.stat().st_size < 1000 and path.read_bytes().startswith(b"version https://git-lfs")


def _refuse_pointer(path: Path, dtype: torch.dtype, names: LabelNames, keep: bool = True) -> Contents:
    raise ValueError(f"'path' must hold the data, got a pointer of Git LFS in {path}: run 'git lfs pull' in its clone.")


FORMATS: list[Format] = [
    Format("a pointer of Git LFS", _is_pointer, _refuse_pointer),
    Format("MD17, revised MD17 or sGDML", is_npz, read_md17),
    Format("DeePMD", is_deepmd, read_deepmd),
    Format("pymatgen's JSON", is_pymatgen, read_pymatgen),
    _of_images("HDF5 of ANI or SPICE", is_hdf5, iterate_hdf5, _said("HDF5", HDF5_UNITS)),
    _of_images("PyG's files", is_pyg, iterate_pyg, _said("PyG", PYG_UNITS)),
    _of_images("CP2K's positions and forces", is_cp2k_positions, iterate_cp2k_positions, scan_positions),
    _of_images("CP2K's output", is_cp2k, iterate_cp2k, scan_cp2k),
    _of_images("ORCA's output", is_orca, iterate_orca, scan_orca),
    _of_images("Gaussian's output", is_gaussian, iterate_gaussian, scan_gaussian),
    Format("LMDB of OCP", _is_pickled, _refuse_pickled),
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
