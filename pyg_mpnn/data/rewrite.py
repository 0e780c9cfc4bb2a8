"""Any file of structures to extended XYZ or an ASE database, with everything that was understood."""

from __future__ import annotations

import gzip
import io
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pyg_mpnn.data.contents import describe, refuse_typos
from pyg_mpnn.data.convert import to_atoms
from pyg_mpnn.data.formats import find_format
from pyg_mpnn.data.labels import LABELS, LabelNames
from pyg_mpnn.data.read import SAMPLE, sample_file
from pyg_mpnn.files import write_whole

if TYPE_CHECKING:
    import ase

_XYZ = (".xyz", ".extxyz")
_OF_ATOMS = {"numbers", "positions", "config_type", "config_weight"}


def convert_file(source: str | Path, out: str | Path, labels: LabelNames | None = None) -> str:
    """Read a file as all commands do, and write its structures in A and eV.

    Energy, forces and stress get these names. All else that structures carry, as charges, dipoles, ``config_type`` and
    values of the user, is written under its own name and in its own unit; constraints are not. Extended XYZ keeps eight
    decimals of positions and forces, a database all digits.

    Args:
        source: a file that :func:`read_structures` reads, or the word ``ethanol``.
        out: the file to write: ``.xyz``, ``.extxyz`` (also with ``.gz``) or ``.db``; it is replaced.
        labels: what the file does not say.

    Returns:
        what was read and written, and what was not, for people.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is unusable, or ``out`` has another end of its name.
    """
    target, names = Path(out), labels or LabelNames()
    packed = target.suffix == ".gz"
    kind = (target.with_suffix("") if packed else target).suffix
    if kind not in _XYZ and (packed or kind != ".db"):
        raise ValueError(f"'out' must end in .xyz, .extxyz (also .gz) or .db, got {str(target)!r}.")
    path = Path(source)
    if source == SAMPLE:
        with sample_file("train") as path:
            return convert_file(path, out, labels)
    reader = find_format(path)
    found = reader.read(path, torch.float64, names, True)
    refuse_typos([found], names)
    written: list[ase.Atoms] = []
    lost: Counter[str] = Counter()
    for frame in found.checked(LABELS, required=()):
        atoms = to_atoms(frame)
        if reader.images is not None:  # others read arrays of all structures together
            lost.update(_add(atoms, found.others()))
        written.append(atoms)
    if reader.images is None:
        lost.update(found.unused)
    with write_whole(target, "wb") as file:
        content = _database(written) if kind == ".db" else _extended_xyz(written)
        file.write(gzip.compress(content, mtime=0) if packed else content)
    kept = sorted(set(found.unused) - set(lost))
    count = f"{len(written)} structure{'s' * (len(written) != 1)}"
    lines = [f"{count} written to {target} with energy, forces and stress as far as they are known"]
    lines += [f"  also written, as they are: {', '.join(kept)}"] if kept else []
    lines += (
        [f"  NOT WRITTEN: {', '.join(f'{name} of {count}' for name, count in sorted(lost.items()))}"] if lost else []
    )
    read = describe({**found.summary(), "unused": ()})  # which of these are written is said below
    return "\n".join([read, *(f"  {note}" for note in found.notes), *lines])


def _add(atoms: ase.Atoms, others: Mapping[str, Any]) -> list[str]:
    """Put further values into a structure; the names of those that its file cannot hold, or that would be labels."""
    from ase.calculators.calculator import all_properties
    from ase.calculators.singlepoint import SinglePointCalculator

    lost, results = [], {}
    for name, value in others.items():
        array = np.asarray(value)
        plain = array.dtype.kind in "ifbUS" and (array.dtype.kind in "ifb" or array.ndim <= 1)
        if name in _OF_ATOMS:
            continue
        if name.removeprefix("REF_") in LABELS or not plain or array.ndim > 2:
            lost.append(name)
        elif name in all_properties:
            results[name] = value
        elif array.shape[:1] == (len(atoms),) and not (len(atoms) in (1, 3) and array.shape == (3,)):
            atoms.arrays[name] = array.reshape(len(atoms), -1) if array.ndim > 1 else array
        else:
            atoms.info[name] = value
    if results:
        calculator = atoms.calc or SinglePointCalculator(atoms)
        calculator.results |= results
        atoms.calc = calculator
    return lost


def _extended_xyz(written: list[ase.Atoms]) -> bytes:
    from ase.io.extxyz import write_extxyz

    text = io.StringIO()
    write_extxyz(text, written)
    return text.getvalue().encode()


def _database(written: list[ase.Atoms]) -> bytes:
    import ase.db

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "structures.db"
        with ase.db.connect(str(place)) as database:
            for atoms in written:
                arrays = {name: array for name, array in atoms.arrays.items() if name not in ("numbers", "positions")}
                plain = {name: value for name, value in atoms.info.items() if _is_key(name, value)}
                data = {name: value for name, value in {**atoms.info, **arrays}.items() if name not in plain}
                database.write(atoms, key_value_pairs=plain, data=data)
        return place.read_bytes()


def _is_key(name: str, value: Any) -> bool:
    """Whether a value may be a key of a database; others go into its data."""
    import ase.db.core

    try:
        ase.db.core.check({name: value})
    except (ValueError, TypeError, AssertionError):
        return False
    return True
