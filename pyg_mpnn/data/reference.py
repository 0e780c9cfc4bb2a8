"""Reference energies of the elements and the scales of the data, fitted once on the training frames."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch_geometric.data import Data

from pyg_mpnn.data.frames import prepare_frames
from pyg_mpnn.geometry import as_cutoffs, edge_vectors, neighbor_list


@dataclass(frozen=True)
class Reference:
    """What a potential takes from its training data besides its weights.

    Args:
        energies: reference energy of each element, by atomic number, in eV.
        scale: root mean square of the force components, in eV/A; of data without forces, that of the energies per atom
            that the reference energies leave, in eV.
        neighbors: mean number of neighbours of an atom, one per cutoff.
        rank: number of independent reference energies that the data (and given isolated atoms) determine.
        num_elements: number of elements in the data; with a smaller ``rank`` the energies are one choice of many.
    """

    energies: dict[int, float]
    scale: float
    neighbors: tuple[float, ...]
    rank: int
    num_elements: int

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
    frames: Iterable[Data], cutoffs: float | Sequence[float], isolated: Mapping[int, float] | None = None
) -> Reference:
    r"""Fit the reference energies, the force scale and the mean numbers of neighbours on the training frames.

    .. math:: \min_{E_0} \sum_s \Big(E_s - \sum_Z n_{sZ} E_0[Z]\Big)^2, \qquad
              \sigma = \sqrt{\langle F_{i\alpha}^2 \rangle}

    with the energy :math:`E_s` and the number :math:`n_{sZ}` of atoms of element Z of structure s. Where the
    compositions leave :math:`E_0` open (one molecule only), of all minima the one closest to the mean energy per atom
    is taken: minimum norm of :math:`E_0[Z] - \sum_s E_s / \sum_s N_s`. Elements in ``isolated`` keep the given energy
    and only the others are fitted, to what is left. Everything is computed in float64.

    Args:
        frames: training structures with energies, and forces in all or in none. No validation or test frames: their
            energies would leak.
        cutoffs: the cutoff of the model, or its two or three cutoffs, increasing, in A.
        isolated: energies of isolated atoms by atomic number, in eV, at the level of theory of the data. Elements that
            the frames do not have are left out: the model is not trained on them.

    Returns:
        The fitted numbers; ``rank`` counts the given elements as determined.

    Units:
        eV, eV/A; PyG's MD17 is converted from kcal/mol (:func:`normalize_fields`).

    Raises:
        ValueError: there are no frames; ``cutoffs`` are none, not positive or not increasing; a frame has no energy or
            a bad value, or only some frames have forces; a given energy is not finite; all forces are zero.

    Source:
        own design; minimum norm by the singular value decomposition of numpy.linalg.lstsq.

    Example:
        >>> from pyg_mpnn.data import ethanol
        >>> reference = fit_reference(ethanol("train")[:10], cutoffs=[5.0])
        >>> reference.rank, reference.num_elements
        (1, 3)
    """
    radii = as_cutoffs(cutoffs)
    structures = prepare_frames(frames, required=["energy"])
    energies, rank = fit_energies(structures, isolated or {})
    scale = _fit_scale(structures, energies)
    return Reference(energies, scale, _count_neighbors(structures, radii), rank, len(energies))


def fit_energies(frames: Sequence[Data], isolated: Mapping[int, float]) -> tuple[dict[int, float], int]:
    """The reference energies alone, as :func:`fit_reference` fits them.

    Args:
        frames: structures with energies, at least one.
        isolated: energies of isolated atoms by atomic number, in eV.

    Returns:
        The reference energy of each element in eV, and how many of them the data determine.
    """
    elements = np.unique(np.concatenate([frame.z.numpy() for frame in frames]))
    counts = np.stack([(frame.z.numpy()[:, None] == elements).sum(axis=0) for frame in frames]).astype(np.float64)
    target = np.array([float(frame.energy) for frame in frames])
    given = np.array([int(element) in isolated for element in elements])
    fixed = np.array([isolated.get(int(element), 0.0) for element in elements])
    if not np.isfinite(fixed).all():
        raise ValueError(f"'isolated' must hold finite energies (in eV), got {dict(isolated)}.")
    target = target - counts @ fixed
    free = counts[:, ~given]
    mean = target.sum() / max(free.sum(), 1.0)
    deviation, _, rank, _ = np.linalg.lstsq(free, target - free.sum(axis=1) * mean, rcond=None)
    fixed[~given] = mean + deviation
    return dict(zip(elements.tolist(), fixed.tolist(), strict=True)), int(given.sum() + rank)


def _fit_scale(frames: Sequence[Data], energies: Mapping[int, float]) -> float:
    if "forces" in frames[0]:
        values = torch.cat([frame.forces.double().reshape(-1) for frame in frames])
    else:
        left = [float(frame.energy) - sum(energies[z] for z in frame.z.tolist()) for frame in frames]
        values = torch.tensor(left, dtype=torch.float64) / torch.tensor([max(len(frame.z), 1) for frame in frames])
    scale = float(values.square().mean().sqrt())
    if scale < 1e-9:  # eV or eV/A: rounding of the energies
        raise ValueError("'frames' must differ in their forces or energies, got only zeros: there is nothing to learn.")
    return scale


def _count_neighbors(frames: Sequence[Data], cutoffs: Sequence[float]) -> tuple[float, ...]:
    edges, nodes = np.zeros(len(cutoffs)), 0
    for frame in frames:
        pos, cell, pbc = frame.pos.double(), getattr(frame, "cell", None), getattr(frame, "pbc", None)
        edge_index, shifts = neighbor_list(pos, cutoffs[-1], cell=cell, pbc=pbc)
        dist = edge_vectors(pos, edge_index, shifts, cell).norm(dim=-1)
        edges += [int((dist < cutoff).sum()) for cutoff in cutoffs]
        nodes += len(pos)
    return tuple((edges / max(nodes, 1)).tolist())
