"""Reference energies of the elements and the scales of the data, fitted once on the training frames."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch_geometric.data import Data

from pyg_mpnn.data.compositions import independent
from pyg_mpnn.data.dataset import PreparedStructures, each_with_edges
from pyg_mpnn.data.frames import prepare_frames
from pyg_mpnn.geometry import as_cutoffs, edge_vectors, neighbor_list


@dataclass(frozen=True)
class Reference:
    """What a potential takes from its training data besides its weights.

    Args:
        energies: reference energy of each element, by atomic number, in eV.
        scale: root mean square of the force components, in eV/A; of data without forces, or with forces that are zero,
            that of the energies per atom that the reference energies leave, in eV.
        neighbors: mean number of neighbours of an atom, one per cutoff.
        rank: number of independent reference energies that the data (and given isolated atoms) determine.
        num_elements: number of elements in the data; with a smaller ``rank`` the energies are one choice of many.
        compositions: as many independent compositions, atoms by element; energies of their combinations are known.
    """

    energies: dict[int, float]
    scale: float
    neighbors: tuple[float, ...]
    rank: int
    num_elements: int
    compositions: tuple[dict[int, int], ...] = ()

    def describe(self) -> str:
        """Say how far the reference energies are determined, for the log and the model card.

        Returns:
            One sentence, or two where the energies are not unique.
        """
        text = f"reference energies: rank {self.rank} of {self.num_elements} elements."
        if self.rank < self.num_elements:
            text += (
                " The training compositions do not tell the elements apart: energies of other compositions and of"
                " isolated atoms mean nothing (forces, and energy differences at these compositions, do)."
            )
        return text


def fit_reference(
    frames: Iterable[Data] | PreparedStructures,
    cutoffs: float | Sequence[float],
    isolated: Mapping[int, float] | None = None,
) -> Reference:
    r"""Fit the reference energies, the force scale and the mean numbers of neighbours on the training frames.

    .. math:: \min_{E_0} \sum_s \Big(E_s - \sum_Z n_{sZ} E_0[Z]\Big)^2, \qquad
              \sigma = \sqrt{\langle F_{i\alpha}^2 \rangle}

    with the energy :math:`E_s` and the number :math:`n_{sZ}` of atoms of element Z of structure s. Where the
    compositions leave :math:`E_0` open (one molecule only), of all minima the one closest to the mean energy per atom
    is taken: minimum norm of :math:`E_0[Z] - \sum_s E_s / \sum_s N_s`. Elements in ``isolated`` keep the given energy
    and only the others are fitted, to what is left. Everything is computed in float64.

    Args:
        frames: training structures, prepared (then nothing is checked or searched again) or not; those without an
            energy, or without forces, count for the rest. No validation or test frames: their energies would leak.
        cutoffs: the cutoff of the model, or its two or three cutoffs, increasing, in A.
        isolated: energies of isolated atoms by atomic number, in eV, at the level of theory of the data. Elements that
            the frames do not have are left out: the model is not trained on them.

    Returns:
        The fitted numbers; ``rank`` counts the given elements as determined.

    Units:
        eV, eV/A; PyG's MD17 is converted from kcal/mol (:func:`normalize_fields`).

    Raises:
        ValueError: there are no frames, or none with an energy; ``cutoffs`` are none, not positive or not increasing; a
            frame has a bad value; a given energy is not finite; forces are zero and energies are those of the elements.

    Source:
        own design; minimum norm by the singular value decomposition of numpy.linalg.lstsq.

    Example:
        >>> from pyg_mpnn.data import ethanol
        >>> reference = fit_reference(ethanol("train")[:10], cutoffs=[5.0])
        >>> reference.rank, reference.num_elements
        (1, 3)
    """
    radii = as_cutoffs(cutoffs)
    seen = _Seen()
    if isinstance(frames, PreparedStructures):
        for frame in each_with_edges(frames):
            seen.add(frame, _edges_within(frame, radii, frames.cutoffs))
    else:
        for index, one in enumerate(frames):
            (frame,) = prepare_frames([one], first=index)
            seen.add(frame, _edges_within(frame, radii))
    if not seen.structures:
        raise ValueError("'frames' must hold at least one structure, got none: the data set is empty.")
    if not seen.energies:
        raise ValueError("'energy' is missing in all frames: one at least must have it, to be learned from.")
    energies, rank = _fit_energies(seen.counts, seen.energies, isolated or {}, seen.elements)
    alone = [{element: 1} for element in energies if element in (isolated or {})]
    compositions = tuple(independent([*alone, *seen.counts]))
    return Reference(energies, _fit_scale(seen, energies), seen.mean_neighbors(), rank, len(energies), compositions)


def fit_energies(frames: Iterable[Data], isolated: Mapping[int, float]) -> tuple[dict[int, float], int]:
    """The reference energies alone, as :func:`fit_reference` fits them.

    Args:
        frames: structures, at least one with an energy.
        isolated: energies of isolated atoms by atomic number, in eV.

    Returns:
        The reference energy of each element in eV, and how many of them the data determine.
    """
    counts, energies, elements = [], [], set()
    for frame in frames:
        elements.update(frame.z.tolist())
        if "energy" in frame:
            counts.append(_count_elements(frame))
            energies.append(float(frame.energy))
    return _fit_energies(counts, energies, isolated, elements)


class _Seen:
    """What one pass over the structures leaves: little, so that they need not be in memory together."""

    def __init__(self) -> None:
        self.structures = 0
        self.elements: set[int] = set()
        self.counts: list[dict[int, int]] = []  # atoms of each element, by structure with an energy
        self.energies: list[float] = []
        self.squares, self.components = 0.0, 0
        self.edges: np.ndarray | None = None
        self.nodes = 0

    def add(self, frame: Data, edges: np.ndarray) -> None:
        self.structures += 1
        self.elements.update(frame.z.tolist())
        if "energy" in frame:
            self.counts.append(_count_elements(frame))
            self.energies.append(float(frame.energy))
        if "forces" in frame:
            self.squares += float(frame.forces.double().square().sum())
            self.components += frame.forces.numel()
        self.edges = edges if self.edges is None else self.edges + edges
        self.nodes += len(frame.z)

    def mean_neighbors(self) -> tuple[float, ...]:
        assert self.edges is not None
        return tuple((self.edges / max(self.nodes, 1)).tolist())


def _count_elements(frame: Data) -> dict[int, int]:
    elements, counts = np.unique(frame.z.numpy(), return_counts=True)
    return dict(zip(elements.tolist(), counts.tolist(), strict=True))


def _fit_energies(
    counts_by_structure: Sequence[Mapping[int, int]],
    energies: Sequence[float],
    isolated: Mapping[int, float],
    known: Collection[int],
) -> tuple[dict[int, float], int]:
    elements = sorted(known)
    counts = np.array([[of.get(element, 0) for element in elements] for of in counts_by_structure], dtype=np.float64)
    target = np.array(energies)
    given = np.array([element in isolated for element in elements], dtype=bool)
    fixed = np.array([isolated.get(element, 0.0) for element in elements])
    if not np.isfinite(fixed).all():
        raise ValueError(f"'isolated' must hold finite energies (in eV), got {dict(isolated)}.")
    target = target - counts @ fixed
    free = counts[:, ~given]
    mean = target.sum() / max(free.sum(), 1.0)
    deviation, _, rank, _ = np.linalg.lstsq(free, target - free.sum(axis=1) * mean, rcond=None)
    fixed[~given] = mean + deviation
    return dict(zip(elements, fixed.tolist(), strict=True)), int(given.sum() + rank)


def _fit_scale(seen: _Seen, energies: Mapping[int, float]) -> float:
    scale = float(np.sqrt(seen.squares / max(seen.components, 1)))
    if scale < 1e-9:  # eV/A: there are none, or they are zero by symmetry
        left = [
            (energy - sum(count * energies[z] for z, count in counts.items())) / max(sum(counts.values()), 1)
            for energy, counts in zip(seen.energies, seen.counts, strict=True)
        ]
        scale = float(np.sqrt(np.mean(np.square(left))))
    if scale < 1e-9:  # eV: rounding of the energies
        raise ValueError("'frames' must differ in their forces or energies, got only zeros: there is nothing to learn.")
    return scale


def count_neighbors(frames: Iterable[Data] | PreparedStructures, cutoffs: Sequence[float]) -> tuple[float, ...]:
    """Mean number of neighbours of an atom within each cutoff.

    Args:
        frames: structures, prepared or not.
        cutoffs: cutoffs in A, increasing.

    Returns:
        one number a cutoff.
    """
    edges, nodes = np.zeros(len(cutoffs)), 0
    found = frames.cutoffs if isinstance(frames, PreparedStructures) else None
    for frame in each_with_edges(frames) if isinstance(frames, PreparedStructures) else frames:
        edges += _edges_within(frame, cutoffs, found)
        nodes += len(frame.pos)
    return tuple((edges / max(nodes, 1)).tolist())


def _edges_within(frame: Data, cutoffs: Sequence[float], found: Sequence[float] | None = None) -> np.ndarray:
    """Numbers of edges within each cutoff, of those that were found for these cutoffs or else are searched now."""
    pos, cell, pbc = frame.pos.double(), getattr(frame, "cell", None), getattr(frame, "pbc", None)
    if found is not None and tuple(found) == tuple(cutoffs):
        edge_index, shifts = frame.edge_index, frame.shifts
        if len(cutoffs) == 1:
            return np.array([edge_index.shape[1]], dtype=np.float64)
    else:
        edge_index, shifts = neighbor_list(pos, cutoffs[-1], cell=cell, pbc=pbc)
    cell = None if cell is None else cell.double()
    dist = edge_vectors(pos, edge_index, shifts, cell).norm(dim=-1)
    inside = [int((dist < cutoff).sum()) for cutoff in cutoffs[:-1]]
    return np.array([*inside, edge_index.shape[1]], dtype=np.float64)
