"""Pairs of frames that are near each other, and the factor between two of their labels, which betrays units."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from torch_geometric.data import Data

from pyg_mpnn.units import BOHR, HARTREE, KCAL_PER_MOL, KJ_PER_MOL, MEV

__all__ = ["Pairs", "near_pairs", "Slope", "fit_slope", "name_factor", "ENERGY_OVER_FORCE", "ENERGY_OVER_STRESS"]


MAX_FRAMES = 1000  # of one kind, evenly spaced: all distances between them are computed


class Pairs(NamedTuple):
    """Pairs of frames of the same atoms in the same order, nearest first; one entry a pair.

    Args:
        frames: indices of the two frames, ``(pairs, 2)``.
        distance: root mean square displacement of the atoms in A, overall motion and strain left out.
        energy: difference of the energies, second minus first.
        work: minus the mean force times the displacement.
        strain_work: mean of volume times stress, times the strain; NaN where there is no stress.
        strain: size of the strain between the cells, 0 for molecules.
        atoms: number of atoms.
    """

    frames: np.ndarray
    distance: np.ndarray
    energy: np.ndarray
    work: np.ndarray
    strain_work: np.ndarray
    strain: np.ndarray
    atoms: np.ndarray


def near_pairs(frames: Sequence[Data], *, strained: bool = False) -> Pairs:
    r"""Find for each frame the nearest other one, and compute the work between both.

    .. math:: E_2 - E_1 \approx -\tfrac{1}{2} (F_1 + F_2) \cdot \Delta r
              + \tfrac{1}{2} (V_1 \sigma_1 + V_2 \sigma_2) : \varepsilon

    exact where the energy is quadratic. Molecules are turned onto each other first (Kabsch). In crystals the
    displacement is that of the fractional coordinates, the shorter way around, and :math:`\varepsilon` the strain from
    one cell to the other.

    Args:
        frames: structures with energies and forces.
        strained: whether the frames of a pair shall have different cells, or (False) the same one.

    Returns:
        The pairs, each one once.

    Units:
        those of the frames.

    Source:
        own design; W. Kabsch, Acta Cryst. A32, 922 (1976).
    """
    kinds: defaultdict[tuple[bytes, bytes], list[int]] = defaultdict(list)
    for index, frame in enumerate(frames):
        pbc = frame.pbc.reshape(3).numpy() if "pbc" in frame else np.zeros(3, dtype=bool)
        kinds[frame.z.numpy().tobytes(), pbc.tobytes()].append(index)
    rows = []
    for (_, pbc), members in kinds.items():
        chosen = members[:: -(-len(members) // MAX_FRAMES)]
        if len(chosen) < 2:
            continue
        if np.frombuffer(pbc, dtype=bool).any():
            rows += _of_crystals(frames, chosen, strained)
        elif not strained and frames[chosen[0]].z.numel() > 1:
            rows += _of_molecules(frames, chosen)
    rows.sort(key=lambda row: row[2])
    columns = np.array(rows, dtype=np.float64).reshape(-1, 8).T
    return Pairs(columns[:2].T.astype(int), *columns[2:])


def _nearest(distances: np.ndarray) -> set[tuple[int, int]]:
    """The nearest other one of each."""
    np.fill_diagonal(distances, np.inf)
    nearest = distances.argmin(axis=1)
    found = np.isfinite(distances[np.arange(len(nearest)), nearest])
    return {(min(a, int(b)), max(a, int(b))) for a, b in enumerate(nearest) if found[a]}


def _of_molecules(frames: Sequence[Data], chosen: list[int]) -> list[tuple[float, ...]]:
    positions = np.stack([frames[k].pos.double().numpy() for k in chosen])
    positions -= positions.mean(axis=1, keepdims=True)
    upper = np.triu_indices(positions.shape[1], k=1)
    # Distances between atoms find the nearest without turning anything; the mirror image is sorted out below.
    inner = np.linalg.norm(positions[:, upper[0]] - positions[:, upper[1]], axis=2)
    square = (inner**2).sum(axis=1)
    apart = np.maximum(square[:, None] + square[None] - 2 * inner @ inner.T, 0.0)
    rows: list[tuple[float, ...]] = []
    for a, b in _nearest(apart):
        turn = _turn(positions[a], positions[b])
        shift = positions[b] @ turn - positions[a]
        first, second = frames[chosen[a]], frames[chosen[b]]
        force = 0.5 * (first.forces.double().numpy() + second.forces.double().numpy() @ turn)
        energy, distance = float(second.energy - first.energy), float(np.sqrt((shift**2).sum(axis=1).mean()))
        work = -float((force * shift).sum())
        rows.append((chosen[a], chosen[b], distance, energy, work, np.nan, 0.0, len(shift)))
    return rows


def _turn(target: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """Rotation that brings the one molecule onto the other."""
    left, _, right = np.linalg.svd(moved.T @ target)
    left[:, -1] *= np.sign(np.linalg.det(left @ right))
    rotation: np.ndarray = left @ right
    return rotation


def _of_crystals(frames: Sequence[Data], chosen: list[int], strained: bool) -> list[tuple[float, ...]]:
    cells = np.stack([frames[k].cell.reshape(3, 3).double().numpy() for k in chosen])
    pbc = frames[chosen[0]].pbc.reshape(3).numpy()
    if strained and not pbc.all():
        return []
    cells = cells + np.diag((~pbc).astype(float)) * (np.abs(cells).sum(axis=2) == 0)[:, :, None]
    positions = np.stack([frames[k].pos.double().numpy() for k in chosen])
    inside = np.linalg.solve(cells.transpose(0, 2, 1), positions.transpose(0, 2, 1)).transpose(0, 2, 1)
    distances = np.full((len(chosen), len(chosen)), np.inf)
    for a in range(len(chosen) - 1):
        mean = 0.5 * (cells[a] + cells[a + 1 :])
        strain = np.linalg.solve(mean, cells[a + 1 :] - cells[a])
        size = np.abs(strain).max(axis=(1, 2))
        shift = _shift(inside[a], inside[a + 1 :], pbc) @ mean
        apart = np.sqrt((shift**2).sum(axis=2).mean(axis=1))
        fits = (size > 1e-4) & (size < 0.1) if strained else size < 1e-6
        distances[a, a + 1 :] = np.where(fits, apart + 5.0 * size, np.inf)
        distances[a + 1 :, a] = distances[a, a + 1 :]
    return [_crystal_pair(frames, chosen, cells, inside, pbc, pair) for pair in _nearest(distances)]


def _shift(first: np.ndarray, second: np.ndarray, pbc: np.ndarray) -> np.ndarray:
    """Shortest change of fractional coordinates, without the motion of the whole."""
    shift = second - first
    shift = shift - np.where(pbc, np.round(shift), 0.0)
    whole: np.ndarray = shift - shift.mean(axis=-2, keepdims=True)
    return whole


def _crystal_pair(
    frames: Sequence[Data],
    chosen: list[int],
    cells: np.ndarray,
    inside: np.ndarray,
    pbc: np.ndarray,
    pair: tuple[int, int],
) -> tuple[float, ...]:
    a, b = pair
    first, second = frames[chosen[a]], frames[chosen[b]]
    mean = 0.5 * (cells[a] + cells[b])
    strain = np.linalg.solve(mean, cells[b] - cells[a])
    shift = _shift(inside[a], inside[b], pbc) @ mean
    force = 0.5 * (first.forces + second.forces).double().numpy()
    strain_work = np.nan
    if "stress" in first:
        pressed = [
            frame.stress.reshape(3, 3).double().numpy() * abs(np.linalg.det(cell))
            for frame, cell in ((first, cells[a]), (second, cells[b]))
        ]
        strain_work = float((0.5 * (pressed[0] + pressed[1]) * 0.5 * (strain + strain.T)).sum())
    return (
        chosen[a],
        chosen[b],
        float(np.sqrt((shift**2).sum(axis=1).mean())),
        float(second.energy - first.energy),
        -float((force * shift).sum()),
        strain_work,
        float(np.abs(strain).max()),
        len(shift),
    )


_GPA = 160.21766  # GPa in one eV/A^3

# Energy differences over the work of the forces, both read as eV, where the file had other units.
ENERGY_OVER_FORCE = {
    "energies in kcal/mol beside forces in eV/A": 1 / KCAL_PER_MOL,
    "energies in eV beside forces in kcal/mol/A": KCAL_PER_MOL,
    "energies in hartree beside forces in eV/A": 1 / HARTREE,
    "energies in eV beside forces in hartree/A": HARTREE,
    "energies in eV beside forces in hartree/bohr": HARTREE / BOHR,
    "energies in hartree beside forces in hartree/bohr": 1 / BOHR,
    "positions in bohr, or forces in eV/bohr times the square of it": BOHR,
    "energies in kJ/mol beside forces in eV/A": 1 / KJ_PER_MOL,
    "energies in eV beside forces in kJ/mol/A": KJ_PER_MOL,
    "energies in meV beside forces in eV/A": 1 / MEV,
    "energies in eV beside forces in meV/A": MEV,
    "energies in kcal/mol beside forces in hartree/bohr": HARTREE / BOHR / KCAL_PER_MOL,
    "energies in hartree beside forces in kcal/mol/A": KCAL_PER_MOL / HARTREE,
}
# The same for the work of the stress.
ENERGY_OVER_STRESS = {
    "stress in GPa": 1 / _GPA,
    "stress in kbar": 0.1 / _GPA,
    "stress in hartree/bohr^3": HARTREE / BOHR**3,
    "energies in kcal/mol beside stress in eV/A^3": 1 / KCAL_PER_MOL,
    "energies in hartree beside stress in eV/A^3": 1 / HARTREE,
    "energies in kJ/mol beside stress in eV/A^3": 1 / KJ_PER_MOL,
    "energies in meV beside stress in eV/A^3": 1 / MEV,
}


class Slope(NamedTuple):
    """Slope of a line through the origin with its 95% interval.

    Args:
        value: the slope.
        low: lower end of the interval.
        high: upper end.
        pairs: number of points.
    """

    value: float
    low: float
    high: float
    pairs: int

    @property
    def has_sign(self) -> bool:
        """Whether the interval leaves no doubt about the sign."""
        return self.low * self.high > 0

    def agrees(self, factor: float, within: float) -> bool:
        """Whether the slope is a factor, and the interval is not so wide that it could be anything.

        Args:
            factor: to compare with; its sign counts.
            within: largest ratio, above 1.

        Returns:
            Whether slope and interval are that near.
        """
        ratios = sorted((self.low / factor, self.value / factor, self.high / factor))
        agrees = ratios[1] > 1 / within and ratios[1] < within and ratios[0] > 1 / within**2 and ratios[2] < within**2
        return bool(agrees)


def fit_slope(x: np.ndarray, y: np.ndarray) -> Slope:
    r"""Line through the origin by least absolute deviations: a minority of wild points does not move it.

    .. math:: \min_a \sum_k |y_k - a x_k|

    which is the median of :math:`y_k / x_k` weighted with :math:`|x_k|`. The interval is that of 400 bootstrap samples.

    Args:
        x: abscissae.
        y: ordinates.

    Returns:
        The slope.

    Raises:
        ValueError: there are no points with x other than zero.

    Source:
        textbook; B. Efron, Ann. Statist. 7, 1 (1979) (bootstrap).

    Example:
        >>> import numpy as np
        >>> fit_slope(np.array([1.0, 2.0, 3.0, 4.0]), np.array([2.0, 4.0, 6.0, 99.0])).value
        2.0
    """
    keep = x != 0
    if not keep.any():
        raise ValueError("'x' must not be zero everywhere: a line through the origin has no slope then")
    ratios, weights = y[keep] / x[keep], np.abs(x[keep])
    order = np.argsort(ratios)
    ratios, weights = ratios[order], weights[order]
    counts = np.random.default_rng(0).multinomial(len(ratios), np.full(len(ratios), 1 / len(ratios)), size=400)
    values = [_median(ratios, weights * count) for count in counts]
    low, high = np.quantile(values, [0.025, 0.975])
    return Slope(_median(ratios, weights), float(low), float(high), len(ratios))


def _median(ordered: np.ndarray, weights: np.ndarray) -> float:
    sums = np.cumsum(weights)
    return float(ordered[np.searchsorted(sums, 0.5 * sums[-1])])


def name_factor(slope: Slope, factors: Mapping[str, float], within: float) -> str | None:
    """What the factor betrays, the sign aside.

    Args:
        slope: as fitted.
        factors: names and sizes.
        within: largest ratio to a factor.

    Returns:
        The names of all factors that agree, nearest first; None where there is none.
    """
    sign = -1.0 if slope.value < 0 else 1.0
    found = {name: factor for name, factor in factors.items() if slope.agrees(sign * factor, within)}
    names = sorted(found, key=lambda name: abs(np.log(abs(slope.value) / found[name])))
    return "; or ".join(names) or None
