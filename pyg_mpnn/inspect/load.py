"""Structures to look at: energies are needed, forces may be missing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from torch_geometric.data import Data

from pyg_mpnn.data import LabelNames, read_structures
from pyg_mpnn.training.evaluate import load_frames

__all__ = ["load_labelled"]


def load_labelled(
    source: str | Path | Sequence[str | Path],
    split: Literal["train", "test"] = "train",
    labels: LabelNames | None = None,
) -> list[Data]:
    """Read structures with energies, and with forces if all of them have these; the checks say so if not.

    Args:
        source: A file that :func:`~pyg_mpnn.data.read_structures` reads, or the word ``ethanol``, or several of these.
        split: Which half of the shipped ethanol the word means.
        labels: What the labels are called in files that ASE reads.

    Returns:
        One structure a frame.

    Units:
        A, eV, eV/A, eV/A^3.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a structure is unusable.
    """
    try:
        return load_frames(source, split, labels)
    except ValueError as error:
        if not str(error).startswith("'forces' is missing"):
            raise
        print(f"{error} Looking at the energies alone.")
        return read_structures(source, forces=False, labels=labels)
