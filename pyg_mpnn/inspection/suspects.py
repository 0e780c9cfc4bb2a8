"""Frames that are there twice, or stand apart from all others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial import cKDTree
from torch_geometric.data import Data

from pyg_mpnn.data.reference import fit_energies
from pyg_mpnn.inspection.finding import Finding, Severity
from pyg_mpnn.inspection.structures import neighbor_distances

__all__ = ["check_duplicates", "check_outliers"]


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


FEWEST = 20  # frames
SHARE = 0.02  # of the frames: a larger group is not a mistake but a part of the data
GAP = 3.0  # interquartile ranges
STRONG = 3.0  # times the median of the largest forces


def check_outliers(frames: Sequence[Data]) -> Finding:
    """Look for frames whose energy per atom, or largest force, is cut off from the others by a wide gap.

    Energies are those that the composition does not explain. A gap is one of three interquartile ranges with at most
    2% of the frames behind it: data may be broad and have tails, as those of crystals, surfaces and liquids together.
    High energies with large forces are steep places and only noted; what one of the two does not explain of the other
    is a warning.

    Args:
        frames: structures with energies; forces where there are any.

    Returns:
        The finding; the numbers have the frames.

    Source:
        own design, so that it is silent on rMD17 and on mlearn's Li and Si, and finds one wrong energy in them.
    """
    name = "outliers"
    if len(frames) < FEWEST:
        return Finding(name, "note", f"Cannot tell: {len(frames)} frames, {FEWEST} are needed.")
    energies = _residuals(frames)
    odd = {"energy": _cut_off(energies)}
    strongest = None
    if all("forces" in frame for frame in frames):
        strongest = np.array([float(frame.forces.double().norm(dim=1).max()) for frame in frames])
        odd["force"] = [k for k in _cut_off(strongest) if strongest[k] > np.median(strongest)]
    middle, spread = float(np.median(energies)), float(np.subtract(*np.quantile(energies, [0.75, 0.25])))
    steep = set() if strongest is None else set(np.flatnonzero(strongest > STRONG * np.median(strongest)).tolist())
    high = set(np.flatnonzero(energies > middle + GAP * spread).tolist())
    wrong = {
        "energy": [k for k in odd["energy"] if not (k in steep and energies[k] > middle)],
        "force": [k for k in odd.get("force", []) if k not in high],
    }
    numbers: dict[str, object] = {f"frames_with_odd_{label}": found for label, found in odd.items()}
    numbers["energy_interquartile_eV_per_atom"] = spread
    if strongest is not None:
        numbers["largest_force_eV_per_A"] = float(strongest.max())
    texts = []
    for label, found in wrong.items():
        if found:
            values = energies - middle if label == "energy" else strongest
            assert values is not None
            listed = ", ".join(f"frame {k} ({values[k]:.3g})" for k in found[:5]) + (", ..." if len(found) > 5 else "")
            unit = "energy in eV/atom from the median" if label == "energy" else "largest force in eV/A"
            texts.append(f"{len(found)} frames stand apart by their {label} alone: {listed}, {unit}.")
    if texts:
        return Finding(name, "warning", " ".join([*texts, "Recompute or remove them."]), numbers)
    if any(odd.values()):
        count = len(set(odd["energy"]) | set(odd.get("force", [])))
        text = f"{count} frames have far higher energies and forces than the others; steep places, not contradictions."
        return Finding(name, "note", text, numbers)
    return Finding(name, "ok", "No frame stands apart by its energy or its largest force.", numbers)


def _residuals(frames: Sequence[Data]) -> np.ndarray:
    """Energies per atom that the composition does not explain, fitted twice: the second time without the wildest 5%."""
    sizes = np.array([max(frame.z.numel(), 1) for frame in frames])
    chosen = list(range(len(frames)))
    for _ in range(2):
        reference, _ = fit_energies([frames[k] for k in chosen], {})
        left = np.array(
            [float(frame.energy) - sum(reference.get(z, 0.0) for z in frame.z.tolist()) for frame in frames]
        )
        residuals: np.ndarray = left / sizes
        known = {int(z) for k in chosen for z in frames[k].z.unique()}
        far = np.abs(residuals - np.median(residuals))
        near = np.flatnonzero(far <= np.quantile(far, 0.95)).tolist()
        if {int(z) for k in near for z in frames[k].z.unique()} != known:
            break  # an element would be lost
        chosen = near
    return residuals


def _cut_off(values: np.ndarray) -> list[int]:
    """Indices behind the widest gap at either end, where it is wide enough."""
    order = np.argsort(values)
    most = max(1, int(SHARE * len(values)))
    spread = float(np.subtract(*np.quantile(values, [0.75, 0.25])))
    least = max(GAP * spread, 1e-6)
    found: list[int] = []
    for ends in (order[::-1], order):
        gaps = np.abs(np.diff(values[ends[: most + 1]]))
        wide = np.flatnonzero(gaps > least)
        if len(wide):
            found += ends[: wide[-1] + 1].tolist()
    return sorted(found)
