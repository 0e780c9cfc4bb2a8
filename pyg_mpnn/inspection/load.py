"""Structures to look at: those with an energy, forces or not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pyg_mpnn.data import LabelNames
from pyg_mpnn.data.frames import CheckedFrames
from pyg_mpnn.data.read import load_frames

__all__ = ["load_labelled"]


def load_labelled(
    source: str | Path | Sequence[str | Path],
    split: Literal["train", "test"] = "train",
    labels: LabelNames | None = None,
) -> CheckedFrames:
    """Read the structures with energies, which all checks need; how many have none is printed.

    Args:
        source: A file that :func:`~pyg_mpnn.data.read_structures` reads, or the word ``ethanol``, or several of these.
        split: Which half of the shipped ethanol the word means.
        labels: What the files do not say.

    Returns:
        One structure a frame.

    Units:
        A, eV, eV/A, eV/A^3.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a structure is unusable, or none has an energy.
    """
    frames = load_frames(source, split, labels, required=["energy"], only_note=True)
    places = [place for place, frame in enumerate(frames) if "energy" in frame]
    if len(places) == len(frames):
        return frames
    print(f"{len(frames) - len(places)} structures without an energy are not looked at")
    return frames.take(places)
