"""Structures as ASE reads them, one at a time, and where its readers would guess or stop in silence."""

from __future__ import annotations

import importlib.util
import re
import sqlite3
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyg_mpnn.data.convert import require_ase
from pyg_mpnn.data.labels import ANGSTROM, LabelNames

if TYPE_CHECKING:
    import ase


_DATABASES = (".db", ".aselmdb")
_LAMMPS = ("lammps-dump-text", "lammps-dump-binary", "lammps-data")


def iterate_images(path: Path, names: LabelNames) -> Iterator[ase.Atoms]:
    """The structures of a file as ASE has them, one in memory at a time.

    Args:
        path: the file; nothing of its name is taken for a selection of frames.
        names: its ``types`` are the elements of a LAMMPS file.

    Yields:
        ASE's structures in the file's units, without an energy that ASE's reader made up.

    Raises:
        ImportError: ASE is not installed.
        ValueError: the file is damaged or of an unknown format, or it numbers its elements and ``types`` are not given.
    """
    require_ase(f"reading {path.name}")
    import ase.io
    from ase.io.formats import UnknownFileTypeError

    if path.stat().st_size == 0:
        return
    number = 0
    try:
        kind = format_of(path)
        lammps = kind in _LAMMPS
        options = _type_options(path, names.types) if lammps else {}
        check_whole(path)
        refuse_guesses(path, kind)
        rows = ase.io.iread(str(path), index=":", format=kind, do_not_split_by_at_sign=True, **options)
        for atoms in _iterate_rows(path) if path.suffix in _DATABASES else rows:
            if lammps:
                _check_types(atoms, path, names.types)
                if atoms.calc is not None:
                    atoms.calc.results.pop("energy", None)  # ASE's reader says 0
            _refuse_disorder(atoms, f"frame {number} of {path}")
            yield atoms
            number += 1
    except UnknownFileTypeError as error:
        raise ValueError(
            f"'path' must be a file that ASE reads or an MD17 '.npz' file, got the unknown format of {path}."
        ) from error
    except (Unreadable, ImportError):
        raise
    except MemoryError as error:
        raise ValueError(f"'path' must fit into memory, got {path}: it is too large, or damaged.") from error
    except sqlite3.Error as error:
        raise ValueError(f"'path' must be an ASE database, got {path}, which SQLite refuses: {error}") from error
    except Exception as error:  # each of ASE's readers fails in its own way
        hint = ". Give vasprun.xml of the same run" if "OUTCAR" in Path(path).name else ""
        raise ValueError(
            f"'path' must be readable by ASE, got {type(error).__name__} in {path} (frame {number}): {error}{hint}"
        ) from error


def _type_options(path: Path, types: Mapping[int, str]) -> dict[str, Any]:
    """What ASE's reader of a LAMMPS file is told of the elements."""
    from ase.data import atomic_numbers
    from ase.io.formats import open_with_compression

    kind = format_of(path)
    if kind == "lammps-dump-text":
        with open_with_compression(str(path), "r") as file:
            columns: list[str] = next((line.split()[2:] for line in file if line.startswith("ITEM: ATOMS")), [])
        if "element" in columns:
            return {}
    if not types:
        raise Unreadable(
            f"'types' must say which elements the types of {path} are, a file of LAMMPS that only numbers them: for "
            "instance --types 1=Cu,2=Ag."
        )
    if sorted(types) != list(range(1, len(types) + 1)):
        raise Unreadable(f"'types' must number the elements from 1 without gaps, got {dict(types)}.")
    if kind == "lammps-data":
        return {"Z_of_type": {number: atomic_numbers[symbol] for number, symbol in types.items()}}
    return {"specorder": [types[number] for number in sorted(types)]}


def _check_types(atoms: ase.Atoms, path: Path, types: Mapping[int, str]) -> None:
    """Refuse elements or masses in a file of LAMMPS that are not those which its types are said to be."""
    if not types or "type" not in atoms.arrays:
        return
    for number, symbol in zip(atoms.arrays["type"].tolist(), atoms.symbols, strict=True):
        if types.get(number, symbol) != symbol:
            raise Unreadable(
                f"'types' must be those of the elements or masses in {path}, got {number}={types[number]} where they "
                f"say {symbol}: leave 'types' out, or correct it."
            )


def _refuse_disorder(atoms: ase.Atoms, where: str) -> None:
    """Refuse sites that are partly or in turn occupied, which ASE's readers fill with whole atoms."""
    sites = atoms.info.get("occupancy", {})  # of CIF: shares of the elements of each site
    shares = [share for site in sites.values() for share in site.values()] if isinstance(sites, dict) else []
    shares += atoms.arrays["occupancy"].tolist() if "occupancy" in atoms.arrays else []  # of PDB, 0 where unknown
    partial = [share for share in shares if 0 < share < 1]
    if partial:
        raise Unreadable(
            f"'path' must hold whole atoms, got {len(partial)} with an occupancy below 1 (the first {partial[0]:g}) in "
            f"{where}: write one ordered structure."
        )


def refuse_guesses(path: Path, kind: str) -> None:
    """Refuse a file that does not say what its elements or its units are, which ASE's readers would guess.

    Args:
        path: the file.
        kind: ASE's name of its format.

    Raises:
        Unreadable: a POSCAR or a PDB file without elements, or a dump of LAMMPS in units of other lengths than A.
    """
    from ase.io.formats import open_with_compression

    if (units := lammps_units(path)) not in ("metal", "real"):
        raise Unreadable(f"'path' must be in LAMMPS' units metal or real, got {units!r} in {path}: convert it.")
    if kind not in ("vasp", "proteindatabank"):
        return
    with open_with_compression(str(path), "r") as file:
        if kind == "vasp" and re.match(r"\s*\d", "".join(islice(file, 5, 6))):
            raise Unreadable(
                f"'path' must say its elements, got {path} of VASP 4 without them: add the line of chemical symbols "
                "above that of the numbers of atoms."
            )
        for line in file:
            if kind == "proteindatabank" and line.startswith(("ATOM", "HETATM")) and not line[76:78].strip():
                raise Unreadable(
                    f"'path' must say its elements, got {path} without one in columns 77 and 78 of {line.strip()!r}: "
                    "add them; names of atoms are no elements (CA)."
                )


def _iterate_rows(path: Path) -> Iterator[ase.Atoms]:
    """The structures of an ASE database with their keys, which ase.io.read leaves out, one in memory at a time."""
    import ase.db

    plugin = path.suffix == ".aselmdb"
    if plugin and importlib.util.find_spec("ase_db_backends") is None:
        raise ImportError(f"reading {path.name} needs ase-db-backends, which is not installed: pip install it.")
    options = {"readonly": True} if plugin else {}
    database = ase.db.connect(str(path), use_lock_file=not plugin, **options)
    with database:
        for row in database.select():
            yield row.toatoms(add_additional_information=True)


def in_angstrom(atoms: ase.Atoms, names: LabelNames) -> ase.Atoms:
    """A structure with positions and cell in A.

    Args:
        atoms: the structure as the file has it; it is changed.
        names: its ``length_unit`` counts.

    Returns:
        the structure.
    """
    factor = ANGSTROM[names.length_unit or "angstrom"]
    if factor != 1.0:
        atoms.cell[:] = atoms.cell.array * factor
        atoms.positions *= factor
    return atoms


def is_lammps(path: Path) -> bool:
    """Whether LAMMPS wrote a file.

    Args:
        path: the file.

    Returns:
        the answer; no where ASE does not know the format.
    """
    from ase.io.formats import UnknownFileTypeError

    try:
        return format_of(path) in _LAMMPS
    except UnknownFileTypeError:
        return False


def lammps_units(path: Path) -> str:
    """The units that a dump of LAMMPS says it is in.

    Args:
        path: the file.

    Returns:
        LAMMPS' name of them; metal where it says none.
    """
    from ase.io.formats import open_with_compression

    if format_of(path) != "lammps-dump-text":
        return "metal"
    with open_with_compression(str(path), "r") as file:
        for line in file:
            if line.startswith("ITEM: UNITS"):
                return str(next(file, "")).strip()
            if line.startswith("ITEM: ATOMS"):
                break
    return "metal"


class Unreadable(ValueError):
    """What is said of a file by this package, not by the reader of its format."""


def format_of(path: Path) -> str:
    """ASE's name of the format of a file.

    Args:
        path: The file; what follows an ``@`` in its name counts for nothing.

    Returns:
        the name.
    """
    from ase.io.formats import filetype

    name, at, _ = path.name.rpartition("@")
    return str(filetype(name, read=False) if at and "." in name else filetype(str(path)))


def check_whole(path: Path) -> None:
    """Refuse an XYZ file whose reader would stop before its end: ASE's ends at the first empty line between frames.

    Args:
        path: A file; one of another format passes.

    Raises:
        Unreadable: There is text behind an empty line.
    """
    import ase.io.formats

    if format_of(path) not in ("xyz", "extxyz"):
        return
    with ase.io.formats.open_with_compression(str(path), "r") as file:
        lines = enumerate(file, start=1)
        frames = 0
        for number, line in lines:
            if not line.strip():
                behind = next((k for k, text in lines if text.strip()), None)
                if behind is not None:
                    raise Unreadable(
                        f"'path' must hold structures without empty lines between them, got line {number} of {path} "
                        f"empty and text in line {behind}: ASE reads only the {frames} structures above it; remove "
                        "the line."
                    )
                return
            if line.lstrip().startswith("VEC"):  # a cell of plain XYZ, behind the atoms
                continue
            try:
                rest = int(line) + 1
            except ValueError:
                return  # not as it should be: its reader says why
            for _ in range(rest):
                next(lines, None)
            frames += 1
