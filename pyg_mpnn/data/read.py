"""Files to structures: the one reader of all commands."""

from __future__ import annotations

import contextlib
import importlib.resources
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import torch
from torch_geometric.data import Data

from pyg_mpnn.data.contents import compare_methods, refuse_typos
from pyg_mpnn.data.convert import to_data
from pyg_mpnn.data.formats import find_format
from pyg_mpnn.data.frames import CheckedFrames, LabelShape, align_frames, check_frame, keep_labels
from pyg_mpnn.data.labels import LABELS, LabelNames, LabelSource, held

if TYPE_CHECKING:
    import ase

SAMPLE = "ethanol"
"""The word that names the shipped sample wherever a file is asked for."""


def read_structures(
    path: str | Path | Sequence[str | Path],
    *,
    energy: bool = True,
    forces: bool = True,
    dtype: torch.dtype = torch.float64,
    labels: LabelNames | None = None,
) -> list[Data]:
    """Read structures, checked and in the units of this package.

    Formats, with units that follow from each: npz of revised MD17, MD17 and sGDML (kcal/mol unless the file says
    otherwise), DeePMD, pymatgen's JSON, HDF5 of ANI and SPICE, PyG's ``.pt``, outputs of CP2K, ORCA and Gaussian; all
    else by ASE, in its units: extended XYZ (also ``.gz``, ``.xz``), ``.db``, ``.traj``, outputs of VASP and more.

    Labels have the same names in all structures of a file: ``REF_energy``, ``REF_forces``, ``REF_stress``; else
    ``energy``, ``forces``, ``stress``; else those of ``labels``. If some structures are periodic and others are not,
    all get ``cell`` and ``pbc``, and ``stress`` is NaN where it is unknown. A number ``config_weight`` in the ``info``
    of a structure (in extended XYZ, in its comment line) weighs its energy, forces and stress in the loss of a
    training; where some structures have one, the others get 1. ``config_type`` there is kept.

    Args:
        path: a file, or several that are joined in this order.
        energy: whether each structure must have an energy; if not, energies are left out.
        forces: whether each structure must have forces; if not, forces are left out.
        dtype: floating-point type of all but the energy, which is float64.
        labels: what the files do not say: other names of labels, units, elements of types.

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
            missing or not finite, shapes do not fit, or an element is unknown (the message names the frame); labels
            have different names in one file, or no structure has a label that is named.

    Source:
        Christensen and von Lilienfeld, Mach. Learn.: Sci. Technol. 1, 045018 (2020), arXiv:2007.09593 (revised MD17);
        Chmiela et al., Sci. Adv. 3, e1603015 (2017), arXiv:1611.04678 (MD17).

    Example:
        >>> import importlib.resources
        >>> frames = read_structures(importlib.resources.files("pyg_mpnn.data") / "rmd17_ethanol_test_01.npz")
        >>> len(frames), frames[0].forces.shape
        (1000, torch.Size([9, 3]))
    """
    paths = [Path(path)] if isinstance(path, (str, Path)) else [Path(item) for item in path]
    if not paths:
        raise ValueError("'path' must name at least one file, got an empty sequence.")
    names = labels or LabelNames()
    contents = [find_format(item).read(item, dtype, names, True) for item in paths]
    refuse_typos(contents, names)
    keep = {"energy": energy, "forces": forces, "stress": True}
    wanted = [name for name in LABELS if keep[name]]
    required = [name for name in wanted if name != "stress"]
    frames = [frame for found in contents for frame in found.checked(wanted, required)]
    align_frames(frames)
    return frames


def load_frames(
    source: str | Path | Sequence[str | Path],
    split: str = "train",
    labels: LabelNames | None = None,
    *,
    wanted: Collection[str] = LABELS,
    required: Collection[str] = (),
    only_note: bool = False,
    others: Mapping[str, LabelShape] = MappingProxyType({}),
) -> CheckedFrames:
    """Read what a command is told to, and print what was found in each file.

    Structures may have some of the labels only, and each must have one of them.

    Args:
        source: A file that :func:`read_structures` reads, the word ``ethanol``, or several of these, which are joined
            in this order.
        split: Which half of the shipped ethanol the word means, ``train`` or ``test``.
        labels: What the files do not say.
        wanted: The labels to read; none where a command looks at positions alone.
        required: Labels that some structures must have.
        only_note: Whether what looks like a label under another name is printed and no error.
        others: Further values to read by name: references of other outputs of a model, NaN where a structure has none,
            and what it reads.

    Returns:
        One structure a frame.

    Units:
        A, eV, eV/A, eV/A^3; others as they are.

    Raises:
        FileNotFoundError: A file is absent.
        ValueError: A structure is unusable, or none has a label that is required.
    """
    sources = [source] if isinstance(source, (str, Path)) else list(source)
    names = replace(labels or LabelNames(), others=tuple(others))
    frames = CheckedFrames()
    with contextlib.ExitStack() as stack:
        paths = [stack.enter_context(sample_file(split)) if item == SAMPLE else Path(item) for item in sources]
        given = [LabelNames() if item == SAMPLE else names for item in sources]
        contents = [
            find_format(path).read(path, torch.float64, own, True) for path, own in zip(paths, given, strict=True)
        ]
        refuse_typos(contents, names)
        for item, found in zip(sources, contents, strict=True):
            outputs = [name for name, shape in others.items() if not shape.input]
            frames.extend(found.checked(wanted, others=outputs, only_note=only_note))
            if (wanted or others) and item != SAMPLE:
                print(found.describe(), flush=True)
            ignored = ", ".join(replace(names, others=(), leave_out_wrong=False).key)
            if item == SAMPLE and ignored:
                print(f"{SAMPLE}: the shipped sample has names and units of its own: {ignored}, given, does not count")
        for text in compare_methods(contents):
            print(text, flush=True)
    for label in required:
        if not any(label in frame for frame in frames):
            raise ValueError(contents[-1].missing(label, f"all structures, also in the last of {paths[-1]}"))
    align_frames(frames)
    keep_labels(others, frames, frames)
    frames.sources = [found.summary() for found in contents]
    frames.origins = [(str(item), index) for item, found in zip(sources, contents, strict=True) for index in found.kept]
    return frames


def iterate_structures(
    source: str | Path, split: str = "test", labels: LabelNames | None = None
) -> Iterator[ase.Atoms]:
    """The structures of a file for commands that need no labels, checked, with all that ASE's readers keep.

    Args:
        source: A file that :func:`read_structures` reads, or the word ``ethanol``.
        split: Which half of the shipped ethanol the word means.
        labels: What the file does not say.

    Yields:
        One structure at a time, in A.

    Raises:
        FileNotFoundError: The file is absent.
        ValueError: A structure is unusable; the message names it.
    """
    names = labels or LabelNames()
    if source == SAMPLE:
        names = LabelNames()
    index = -1
    with sample_file(split) if source == SAMPLE else contextlib.nullcontext(Path(source)) as path:
        for index, atoms in enumerate(find_format(path).iterate(path, names)):
            check_frame(to_data(atoms, labels=LabelSource({})), f"frame {index} of {path}")
            yield atoms
    if index < 0:
        raise ValueError(f"'structures' must hold at least one structure, got none in {source}.")


def unused_values(atoms: ase.Atoms) -> list[str]:
    """Names of what a structure carries besides its atoms."""
    return sorted(set(held(atoms)[""]) - {"numbers", "positions"})


def sample_file(split: str) -> AbstractContextManager[Path]:
    """The file of the shipped sample.

    Args:
        split: ``train`` or ``test``.

    Returns:
        its path, while the context lasts.
    """
    resource = importlib.resources.files("pyg_mpnn.data").joinpath(f"rmd17_ethanol_{split}_01.npz")
    return importlib.resources.as_file(resource)
