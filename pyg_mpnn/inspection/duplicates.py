"""Frames that are there twice, in one file or in two."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial import cKDTree
from torch_geometric.data import Data

from pyg_mpnn.inspection.distances import neighbor_distances
from pyg_mpnn.inspection.finding import Finding, Severity

__all__ = ["check_duplicates"]

CUTOFF = 6.0  # A
CENTRES = np.arange(0.5, CUTOFF, 0.25)
SAME = 1e-4  # relative; two frames that differ by 1e-3 A are told apart


def check_duplicates(frames: Sequence[Data], test: Sequence[Data] = ()) -> Finding:
    r"""Look for structures that are equal up to a rotation, mirror image, shift or order of the atoms.

    .. math:: \phi_m = \frac{1}{N} \sum_{i \neq j} \sqrt{Z_i Z_j} \, e^{-(d_{ij} - c_m)^2 / (0.3 \, A)^2}

    is compared, and the composition. A structure that is both trained on and tested makes the test too easy, and one
    that is there twice may be both trained on and validated. Crystals that are equal only up to a rotation, such as
    those strained along equivalent axes, are noted; everything else is a warning.

    Args:
        frames: structures to train on.
        test: structures to test on.

    Returns:
        The finding; the numbers have the pairs of frames, up to 100 of each kind.

    Source:
        own design.
    """
    first, second = _descriptors(frames), _descriptors(test)
    inside = _twice(first)
    across = [] if not len(test) else _both(first, second)
    contradicting = [
        (a, b) for a, b in inside if abs(float(frames[a].energy) - float(frames[b].energy)) > 1e-3 * frames[a].z.numel()
    ]
    copied = [pair for pair in inside if not _by_symmetry(frames[pair[0]], frames[pair[1]])]
    leaked = [pair for pair in across if not _by_symmetry(frames[pair[0]], test[pair[1]])]
    numbers: dict[str, object] = {
        "duplicates_in_data": len(inside),
        "duplicates_across_data_and_test": len(across),
        "duplicates_of_different_energy": len(contradicting),
        "crystals_equal_by_rotation_in_data": len(inside) - len(copied),
        "crystals_equal_by_rotation_across": len(across) - len(leaked),
        "pairs_in_data": inside[:100],
        "pairs_across": across[:100],
    }
    texts = []
    if copied:
        texts.append(f"{len(copied)} frames of the data are there TWICE (frames {_name(copied)}, for example).")
    if contradicting:
        texts.append(f"{len(contradicting)} frames have a twin of DIFFERENT ENERGY (frames {_name(contradicting)}).")
    if leaked:
        a, b = leaked[0]
        texts.append(f"{len(leaked)} test frames are ALSO IN THE DATA (frame {a} of the data is {b} of the test).")
    severity: Severity = "warning" if texts else "ok"
    rotated = len(inside) - len(copied), len(across) - len(leaked)
    if any(rotated):
        severity = "warning" if texts else "note"
        count = f"{rotated[0]} crystals of the data" + (f" and {rotated[1]} of the test" if rotated[1] else "")
        texts.append(f"{count} equal another one of the data up to a rotation.")
    where = "in the data, nor in both data and test" if len(test) else "in the data"
    return Finding("duplicates", severity, " ".join(texts) or f"No structure is there twice {where}.", numbers)


def _by_symmetry(first: Data, second: Data) -> bool:
    """Whether two crystals, known to be equal, stand differently in space."""
    if "pbc" not in first or not bool(first.pbc.any()):
        return False
    return float((first.cell - second.cell).abs().max()) > 1e-3


def _name(pairs: Sequence[tuple[int, int]]) -> str:
    return f"{pairs[0][0]} and {pairs[0][1]}"


def _descriptors(frames: Sequence[Data]) -> np.ndarray:
    rows = []
    for frame in frames:
        z = frame.z.numpy().astype(float)
        (first, second), distances = neighbor_distances(frame, CUTOFF + 1.0)
        weights = np.sqrt(z[first] * z[second]) / max(len(z), 1)
        curves = np.exp(-(((distances[:, None] - CENTRES) / 0.3) ** 2))
        # number, sum and sum of squares of the atomic numbers tell compositions apart
        rows.append([len(z), z.sum(), (z**2).sum(), *(weights @ curves)])
    table: np.ndarray = np.array(rows).reshape(-1, 3 + len(CENTRES))
    return table


def _twice(table: np.ndarray) -> list[tuple[int, int]]:
    """Each frame that has an equal one before it, with that one."""
    scale = _scale(table)
    pairs: list[tuple[int, int]] = []
    tree = cKDTree(table / scale)
    for later, equals in enumerate(tree.query_ball_point(table / scale, SAME, p=np.inf)):
        if min(equals) < later:
            pairs.append((min(equals), later))
    return pairs


def _both(data: np.ndarray, test: np.ndarray) -> list[tuple[int, int]]:
    """Each test frame that has an equal one in the data: index in the data, index in the test."""
    scale = _scale(data)
    distances, nearest = cKDTree(data / scale).query(test / scale, p=np.inf)
    return [(int(nearest[k]), int(k)) for k in np.flatnonzero(distances < SAME)]


def _scale(table: np.ndarray) -> float:
    """One scale for all curves, so that those near zero do not count more."""
    return float(max(np.abs(table[:, 3:]).max(initial=0.0), 1e-12))
