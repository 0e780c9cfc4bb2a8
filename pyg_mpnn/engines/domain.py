"""The part of a structure that one of several processes computes: its atoms, the images it sees, and the pairs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyg_mpnn.engines.halo import Halo, HaloResult, evaluate_halo
from pyg_mpnn.models import EnergyModel, SumPotential

__all__ = ["Domain"]


class Domain:
    """Own atoms, images and candidates for edges of a process, from one rebuild of the engine's lists to the next.

    Args:
        comm: communicator of mpi4py.
        tags: global number of each atom, the own atoms first, then images.
        num_own: number of own atoms.
        pos: positions of all, images where they are seen, in A.
        reach: distance up to which pairs are kept, in A.

    Shapes:
        ``tags`` ``(atoms,)``; ``pos`` ``(atoms, 3)``.

    Raises:
        RuntimeError: an image of an atom that no process owns.

    Source:
        own design.
    """

    def __init__(self, comm: Any, tags: np.ndarray, num_own: int, pos: Tensor, reach: float) -> None:
        self.tags, self.num_own, self.pos = tags, num_own, pos
        self.halo = Halo(comm, tags, num_own)
        self.source, self.target = _pairs(pos, num_own, reach)
        self.edge_index = torch.stack([self.halo.node.index_select(0, self.source), self.target])

    def holds(self, tags: np.ndarray, num_own: int, pos: Tensor, allowed: float) -> bool:
        """Whether these are the same atoms and images, near enough to where they were.

        Args:
            tags: as above.
            num_own: as above.
            pos: as above.
            allowed: how far an atom may have moved, in A.

        Returns:
            whether the pairs can be used again.
        """
        same = num_own == self.num_own and np.array_equal(tags, self.tags)
        return same and (len(pos) == 0 or float((pos - self.pos).square().sum(-1).max()) < allowed**2)

    def evaluate(
        self, potential: EnergyModel | SumPotential, numbers: np.ndarray, pos: Tensor, inputs: Mapping[str, float]
    ) -> HaloResult:
        """Energy, forces and virial: a call of all processes.

        Args:
            potential: the potential.
            numbers: atomic number of each atom and image.
            pos: where they are now.
            inputs: numbers of the structure that the potential reads.

        Returns:
            energy and virial of the whole, forces on own atoms.
        """
        z = torch.zeros(self.halo.num_nodes, dtype=torch.long)
        z[self.halo.node] = torch.from_numpy(numbers)
        vec = pos.index_select(0, self.source) - pos.index_select(0, self.target)
        inside = (vec.square().sum(-1) < potential.cutoff**2).nonzero().squeeze(-1)
        edge_index = self.edge_index.index_select(1, inside)
        return evaluate_halo(potential, self.halo, z, edge_index, vec.index_select(0, inside), inputs)


def _pairs(pos: Tensor, num_own: int, reach: float) -> tuple[Tensor, Tensor]:
    """Pairs of an own atom (target) and any other or its image (source)."""
    import vesin

    if num_own == 0:
        return torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.long)
    low, high = pos[:num_own].amin(0) - reach, pos[:num_own].amax(0) + reach
    near = ((pos >= low) & (pos <= high)).all(1).nonzero().squeeze(1)
    points = pos.index_select(0, near).numpy()
    calculator = vesin.NeighborList(cutoff=reach, full_list=True, n_threads=1)
    i, j = calculator.compute(points=points, box=np.zeros((3, 3)), periodic=False, quantities="ij")
    target, source = near[torch.from_numpy(i.astype(np.int64))], near[torch.from_numpy(j.astype(np.int64))]
    own = target < num_own
    target, source = target[own], source[own]
    order = (target * len(pos) + source).argsort()
    return source[order], target[order]
