"""Files to structures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch_geometric.data import Data

from pyg_mpnn.data.convert import require_ase, to_data
from pyg_mpnn.data.frames import align_frames, check_frame
from pyg_mpnn.data.labels import LabelNames, missing_label
from pyg_mpnn.data.md17 import how_to_get, read_md17
from pyg_mpnn.data.xyz import check_whole


def read_structures(
    path: str | Path | Sequence[str | Path],
    *,
    energy: bool = True,
    forces: bool = True,
    dtype: torch.dtype = torch.float64,
    labels: LabelNames | None = None,
) -> list[Data]:
    """Read structures, checked and in the units of this package.

    ``.npz``: revised MD17, MD17 or sGDML (kcal/mol there). Everything else is read by ASE, in ASE's units: extended XYZ
    (also ``.gz``, ``.xz``), ``.db``, ``.traj`` and more; :func:`to_data` says where labels are looked for. If some
    structures are periodic and others are not, all get ``cell`` and ``pbc``, and ``stress`` is NaN where it is unknown.
    A number ``config_weight`` in the ``info`` of a structure (in extended XYZ, in its comment line) weighs its energy,
    forces and stress in the loss of a training; where some structures have one, the others get 1.

    Args:
        path: a file, or several that are joined in this order.
        energy: whether each structure must have an energy; if not, energies are left out.
        forces: whether each structure must have forces; if not, forces are left out.
        dtype: floating-point type of all but the energy, which is float64.
        labels: what the labels are called where they have other names, in files that ASE reads; those of ``.npz`` are
            fixed.

    Returns:
        One structure a frame, with the fields ``z``, ``pos`` and as available ``cell``, ``pbc``, ``energy``,
        ``forces``, ``stress``, ``weight``.

    Shapes:
        ``z`` (nodes,), ``pos`` and ``forces`` (nodes, 3), ``energy`` (1,), ``cell`` and ``stress`` (1, 3, 3), ``pbc``
        (1, 3).

    Units:
        A, eV, eV/A, eV/A^3 with ASE's sign.

    Raises:
        FileNotFoundError: there is no such file.
        ImportError: the format needs ASE, which is not installed.
        ValueError: the format is unknown, the file is damaged or holds no structure; a position, energy or force is
            missing or not finite, shapes do not fit, or an element is unknown (the message names the frame).

    Source:
        Christensen and von Lilienfeld, Mach. Learn.: Sci. Technol. 1, 045018 (2020), arXiv:2007.09593 (revised MD17);
        Chmiela et al., Sci. Adv. 3, e1603015 (2017), arXiv:1611.04678 (MD17).

    Example:
        >>> import importlib.resources
        >>> frames = read_structures(importlib.resources.files("pyg_mpnn.data") / "rmd17_ethanol_test_01.npz")
        >>> len(frames), frames[0].forces.shape
        (1000, torch.Size([9, 3]))
    """
    paths = [path] if isinstance(path, (str, Path)) else list(path)
    if not paths:
        raise ValueError("'path' must name at least one file, got an empty sequence.")
    frames = [frame for item in paths for frame in _read_file(Path(item), energy, forces, dtype, labels)]
    align_frames(frames)
    return frames


def _read_file(path: Path, energy: bool, forces: bool, dtype: torch.dtype, labels: LabelNames | None) -> list[Data]:
    if not path.is_file():
        raise FileNotFoundError(
            f"'path' must be a file, got {str(path)!r}, which is none: check the name.{how_to_get(path)}"
        )
    wanted = {"energy": energy, "forces": forces}
    required = [name for name, keep in wanted.items() if keep]
    frames = read_md17(path, dtype) if path.suffix == ".npz" else _read_ase(path, dtype, required, labels)
    if not frames:
        raise ValueError(f"'path' must hold at least one structure, got none in {path}.")
    for index, frame in enumerate(frames):
        for name, keep in wanted.items():
            if not keep and name in frame:
                del frame[name]
        check_frame(frame, f"frame {index} of {path}", required)
    return frames


def _read_ase(path: Path, dtype: torch.dtype, required: Sequence[str], labels: LabelNames | None) -> list[Data]:
    require_ase(f"reading {path.name}")
    import ase.io
    from ase.io.formats import UnknownFileTypeError

    if path.stat().st_size == 0:
        return []
    try:
        images = list(iterate_rows(path)) if path.suffix == ".db" else ase.io.read(path, index=":")
    except UnknownFileTypeError as error:
        raise ValueError(
            f"'path' must be a file that ASE reads or an MD17 '.npz' file, got the unknown format of {path}."
        ) from error
    except Exception as error:  # each of ASE's readers fails in its own way
        raise ValueError(f"'path' must be readable by ASE, got {type(error).__name__} in {path}: {error}") from error
    check_whole(path)
    frames = []
    for index, atoms in enumerate(images):
        try:
            frames.append(to_data(atoms, dtype, labels))
        except ValueError as error:
            raise ValueError(f"frame {index} of {path}: {error}") from error
        where = f"frame {index} of {path}"
        missing = missing_label(atoms, frames[-1], required, where, labels)
        if missing is not None:
            check_frame(Data(z=frames[-1].z, pos=frames[-1].pos), where)  # which may be why
            raise ValueError(missing)
    return frames


def iterate_rows(path: Path) -> Iterator[Any]:
    """The structures of an ASE database with their keys, which ase.io.read leaves out, one in memory at a time.

    Args:
        path: the database.

    Yields:
        ASE's structures.
    """
    import ase.db

    with ase.db.connect(path) as database:
        for row in database.select():
            yield row.toatoms(add_additional_information=True)
