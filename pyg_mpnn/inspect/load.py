"""Structures to look at: energies are needed, forces may be missing."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from torch_geometric.data import Data

from pyg_mpnn.data import ethanol, read_structures

__all__ = ["load_labelled"]


def load_labelled(source: str | Path, split: Literal["train", "test"] = "train") -> list[Data]:
    """Read structures with energies, and with forces if all of them have these; the checks say so if not.

    Args:
        source: A file that :func:`~pyg_mpnn.data.read_structures` reads, or the word ``ethanol``.
        split: Which half of the shipped ethanol the word means.

    Returns:
        One structure a frame.

    Units:
        A, eV, eV/A, eV/A^3.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a structure is unusable.
    """
    if source == "ethanol":
        return ethanol(split)
    try:
        return read_structures(source)
    except ValueError as error:
        if not str(error).startswith("'forces' is missing"):
            raise
        print(f"{error} Looking at the energies alone.")
        return read_structures(source, forces=False)
