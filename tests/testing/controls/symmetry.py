"""Faults of symmetry: moves and the order of atoms and edges."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from pyg_mpnn.testing.healthy import Edges, Healthy, System
from tests.testing.controls.faults import CROSSING, PERIODIC, blend, rank_neighbours


class AbsolutePositions(Healthy):
    """Absolute coordinates are among the inputs of the network."""

    breaks = (
        "translation", "rotation", "inversion", "isolated_atom", "momentum", "torque", "wrapping", "supercell",
    )  # fmt: skip
    maybe: ClassVar[dict[str, str]] = {
        "size_extensivity": "fails if a fragment alone lies elsewhere than in the whole",
        "cell_choice": "fails if atoms are wrapped into the new cell",
    }

    def _atomic(self, s: System, e: Edges) -> Tensor:
        return super()._atomic(s, e) + self.fault * 0.3 * torch.tanh(s.pos @ s.pos.new_tensor([0.3, -0.2, 0.5]))


class RawComponents(Healthy):
    """Vector components go into a nonlinearity one by one, as if they were scalars."""

    breaks = ("rotation", "inversion", "torque")

    def _atomic(self, s: System, e: Edges) -> Tensor:
        return super()._atomic(s, e) + self.fault * 0.1 * torch.tanh(self._moments(s, e)[:, :3]).sum(1)


class MisnormalizedHarmonic(Healthy):
    """One spherical harmonic of degree 2 has the wrong prefactor."""

    breaks = ("rotation", "torque")

    def _harmonics(self, vec: Tensor) -> Tensor:
        scale = vec.new_tensor([1.0] * 7 + [1.0 + self.fault * (math.sqrt(3.0) - 1.0)])
        return super()._harmonics(vec) * scale


class TripleProduct(Healthy):
    """A pseudo-scalar, the triple product of three vector features, is added as if it were a scalar."""

    breaks = ("inversion",)

    def _atomic(self, s: System, e: Edges) -> Tensor:
        a, b, c = (self._moments(s, e, width)[:, :3] for width in (1.0, 3.0, 9.0))
        a, b, c = (x * torch.rsqrt(1.0 + x.square().sum(1, keepdim=True)) for x in (a, b, c))
        triple: Tensor = (a * torch.linalg.cross(b, c)).sum(1)
        return super()._atomic(s, e) + self.fault * triple


class PositionalEncoding(Healthy):
    """The number of the atom in its molecule is encoded, as in a transformer for text."""

    breaks = ("atom_permutation", "size_extensivity", "supercell")
    maybe: ClassVar[dict[str, str]] = {"isolated_atom": "fails if the atom comes before the far others: renumbers them"}

    def _density(self, s: System, e: Edges) -> Tensor:
        count = torch.bincount(s.batch, minlength=s.num_graphs)
        index = torch.arange(s.z.shape[0], device=s.z.device) - (count.cumsum(0) - count)[s.batch]
        return super()._density(s, e) * (1.0 + self.fault * 0.1 * torch.sin(index.to(s.pos)))


class UnsymmetricHalfList(Healthy):
    """Each pair is counted once, lower number first, with a pair function that is not symmetric in the elements."""

    breaks = ("atom_permutation",)
    maybe: ClassVar[dict[str, str]] = {"supercell": "fails if atoms of different elements change order between copies"}

    def _pair(self, s: System, e: Edges) -> Tensor:
        z_j, z_i = s.z[s.source], s.z[s.target]
        odd = self.charge[z_j] * self.strength[z_i] - self.charge[z_i] * self.strength[z_j]
        order = torch.sign(s.source - s.target)
        return super()._pair(s, e) + self.fault * 0.2 * order * odd * e.weight * torch.exp(-e.sq / 4.0)


class EdgesTakenAsSorted(Healthy):
    """A segmented sum takes the edges as sorted by their centre (row pointers from counts), whatever their order."""

    breaks = ("edge_permutation",)
    maybe: ClassVar[dict[str, str]] = {"atom_permutation": "fails if a given edge list is renumbered but not sorted"}

    def _sum(self, s: System, values: Tensor) -> Tensor:
        return blend(super()._sum(s, values), super()._sum(s._replace(target=s.target.sort()[0]), values), self.fault)


class NeighbourSlots(Healthy):
    """Neighbours fill numbered slots, in the order of the list, each with weights of its own."""

    breaks = ("edge_permutation", "atom_permutation")
    maybe: ClassVar[dict[str, str]] = {
        **dict.fromkeys(
            ("smoothness_single", "smoothness_crowd"), "jumps if the one that leaves is not last in a list"
        ),
        **dict.fromkeys((*PERIODIC, "inversion"), "fails if the images come in another order"),
        **CROSSING,
    }

    def _density(self, s: System, e: Edges) -> Tensor:
        slot = rank_neighbours(torch.zeros_like(s.target), s.target).to(s.pos)
        return super()._density(s, e._replace(weight=e.weight * (1.0 + self.fault * 0.1 * torch.sin(slot))))
