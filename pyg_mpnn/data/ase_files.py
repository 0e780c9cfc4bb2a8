"""Labels of files that ASE reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch_geometric.data import Data

from pyg_mpnn.data.ase_images import format_of, is_lammps, iterate_images, lammps_units
from pyg_mpnn.data.contents import Contents, listed
from pyg_mpnn.data.convert import require_ase, to_data
from pyg_mpnn.data.database_units import with_units_of_database
from pyg_mpnn.data.labels import LabelCensus, LabelNames, LabelSource, held, missing_label
from pyg_mpnn.data.program_outputs import Scan, scan_output

if TYPE_CHECKING:
    import ase


def read_ase(path: Path, dtype: torch.dtype, names: LabelNames, keep: bool = True) -> Contents:
    """Read all structures of a file by ASE.

    Args:
        path: the file.
        dtype: floating-point type of all but the energy.
        names: what the file does not say.
        keep: whether to hold ASE's structures in memory; without it the file is read twice.

    Returns:
        what the file holds.

    Raises:
        ValueError: the file is damaged or of an unknown format, or its labels are of several kinds.
    """
    return read_images(path, dtype, names, keep, images=iterate_images, scan=_scan)


def _scan(path: Path) -> Scan:
    from ase.io.formats import UnknownFileTypeError

    try:
        return scan_output(path, format_of(path)) if path.stat().st_size else Scan()
    except UnknownFileTypeError:
        return Scan()


def read_images(
    path: Path,
    dtype: torch.dtype,
    names: LabelNames,
    keep: bool = True,
    *,
    images: Callable[[Path, LabelNames], Iterator[ase.Atoms]],
    scan: Callable[[Path], Scan],
) -> Contents:
    """Read all structures of a file, with labels whose names are decided once for the file.

    Args:
        path: the file.
        dtype: floating-point type of all but the energy.
        names: what the file does not say.
        keep: whether to hold ASE's structures in memory; without it the file is read twice.
        images: its structures, one at a time.
        scan: what the file says of its steps and units.

    Returns:
        what the file holds.

    Raises:
        ImportError: ASE is not installed.
        ValueError: labels are of several kinds, steps are not converged or cut short and are not to be left out, or
            units are given for a format that has its own.
    """
    require_ase(f"reading {path.name}")
    names = with_units_of_database(path, names)
    said = scan(path)
    if said.program and (names.energy_unit or names.length_unit):
        raise ValueError(f"units must be left out for {path}, which has its own ({said.program}): {said.units}.")
    if said.wrong and not names.leave_out_wrong:
        raise ValueError(
            f"'path' must hold converged and whole steps, got {len(said.wrong)} other{'s' * (len(said.wrong) != 1)} in "
            f"{path} of {said.program}: "
            f"{said.listed}. Leave them out: pyg-mpnn convert {path} OUT.xyz --leave-out-wrong, in Python "
            "LabelNames(leave_out_wrong=True)."
        )

    def again() -> Iterator[ase.Atoms]:
        return (atoms for index, atoms in enumerate(images(path, names)) if index not in said.wrong)

    found: Iterable[ase.Atoms] = list(again()) if keep else again()
    census = LabelCensus(names)
    for atoms in found:
        census.add(atoms)
    source = census.choose(str(path))
    read = {name for _, name in source.keys.values()}
    notes = [*said.notes(), *_notes(path, names)]
    if source.keys and names.energy_unit is None and is_lammps(path) and lammps_units(path) == "real":
        raise ValueError(f"'energy_unit' must be given for {path}, in LAMMPS' units real: --energy-unit kcal/mol.")
    if "stress" in source.keys and (dropped := census.held_without_volume[source.keys["stress"][1]]):
        notes.append(
            f"stress of {dropped} structures is NOT READ: they are not periodic in two or three directions with three "
            "cell vectors"
        )
    last: list[ase.Atoms] = []

    def frames() -> Iterator[Data]:
        for index, atoms in enumerate(found if keep else again()):
            last[:] = [atoms]
            try:
                yield to_data(atoms, dtype, source)
            except ValueError as error:
                raise ValueError(f"frame {index} of {path}: {error}") from error

    return Contents(
        path,
        frames(),
        describe_source(source),
        held=set(census.held),
        unused=census.unused(source),
        notes=notes,
        missing=lambda label, where: missing_label(label, where, listed(held(last[0])[""]), names),
        named=source.keys if names.given or said.program else (),
        method=said.method,
        others=lambda: {name: value for name, value in held(last[0])[""].items() if name not in read},
    )


def describe_source(source: LabelSource) -> dict[str, str]:
    """Names of the labels that are read, for people.

    Args:
        source: where they are.

    Returns:
        names by label.
    """
    read = {label: name for label, (_, name) in source.keys.items()}
    return {**read, "stress": f"-{read['stress']} / volume"} if source.virial and "stress" in read else read


def _notes(path: Path, names: LabelNames) -> list[str]:
    notes = []
    if names.energy_unit or names.length_unit:
        units = names.energy_unit or "eV", names.length_unit or "angstrom"
        notes.append(f"converted from {units[0]} and {units[1]}, as said, to eV and A")
    if path.stat().st_size and is_lammps(path):
        notes.append(f"LAMMPS' units {lammps_units(path)!r}; such files hold no energies")
    return notes
