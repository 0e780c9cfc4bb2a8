"""The sample that is shipped: ethanol of revised MD17."""

from __future__ import annotations

from typing import Literal

from torch_geometric.data import Data

from pyg_mpnn.data.read import read_structures, sample_file


def ethanol(split: Literal["train", "test"]) -> list[Data]:
    """Ethanol at 500 K: split 01 of revised MD17, 1000 frames to train and 1000 to test, none in both.

    Args:
        split: ``"train"`` or ``"test"``.

    Returns:
        1000 structures with ``z``, ``pos``, ``energy`` and ``forces``, all float64; PBE/def2-SVP.

    Shapes:
        ``z`` (nodes,), ``pos`` and ``forces`` (nodes, 3), ``energy`` (1,); 9 nodes.

    Units:
        A, eV, eV/A, converted from the file's kcal/mol while reading.

    Raises:
        ValueError: ``split`` is neither.

    Source:
        Christensen and von Lilienfeld, Mach. Learn.: Sci. Technol. 1, 045018 (2020), arXiv:2007.09593; data
        doi:10.6084/m9.figshare.12672038, CC0 1.0.

    Example:
        >>> frames = ethanol("train")
        >>> len(frames), frames[0].z.tolist()
        (1000, [6, 6, 8, 1, 1, 1, 1, 1, 1])
    """
    if split not in ("train", "test"):
        raise ValueError(f"'split' must be 'train' or 'test', got {split!r}.")
    with sample_file(split) as path:
        return read_structures(path)
