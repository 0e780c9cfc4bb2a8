"""Repulsion of nuclei at distances that no training data have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pyg_mpnn.arguments import check_positive
from pyg_mpnn.basis.cutoff import polynomial_cutoff
from pyg_mpnn.geometry import covalent_radii
from pyg_mpnn.models.chunks import Memory
from pyg_mpnn.models.energy_model import EnergyModel
from pyg_mpnn.scatter import scatter_sum
from pyg_mpnn.units import BOHR, HARTREE

_SCREENING = ((0.18175, 3.19980), (0.50986, 0.94229), (0.28022, 0.40290), (0.02817, 0.20162))
_LENGTH, _POWER = 0.46850, 0.23  # A
_INSIDE = 0.9
"""Radii that training data give, in shortest distances there: structures like them may have slightly nearer atoms."""
_WIDEST = 1.5
"""Largest radius that training data give, in sums of covalent radii."""


def zbl_energy(
    dist: Float[Tensor, " edges"], z_i: Int[Tensor, " edges"], z_j: Int[Tensor, " edges"]
) -> Float[Tensor, " edges"]:
    r"""Energy of two nuclei with screened charges, without a cutoff: the function of :class:`ZBL`.

    Args:
        dist: distances, positive, in A.
        z_i: atomic numbers of one atom.
        z_j: atomic numbers of the other.

    Returns:
        Energies in eV, positive.

    Shapes:
        dist, z_i and z_j (edges,); result (edges,).
    """
    charge_i, charge_j = z_i.to(dist), z_j.to(dist)
    x = dist * (charge_i**_POWER + charge_j**_POWER) / _LENGTH
    screening = sum(weight * torch.exp(-rate * x) for weight, rate in _SCREENING)
    return HARTREE * BOHR * charge_i * charge_j / dist * screening


class ZBL(EnergyModel):
    r"""Universal repulsion of Ziegler, Biersack and Littmark, which ends smoothly at a radius of each pair of elements.

    .. math::
        E_i = \frac12 \sum_j \frac{e^2}{4 \pi \epsilon_0} \frac{z_i z_j}{r_{ij}} \,
        \phi\Big(\frac{r_{ij}}{a_{ij}}\Big) f_c\Big(\frac{r_{ij}}{R_{ij}}\Big), \quad
        a_{ij} = \frac{0.4685\,\mathrm{A}}{z_i^{0.23} + z_j^{0.23}}, \quad \phi(x) = \sum_{k=1}^4 c_k e^{-d_k x}

    with c = (0.18175, 0.50986, 0.28022, 0.02817), d = (3.1998, 0.94229, 0.4029, 0.20162) and the polynomial
    :math:`f_c` of :class:`~pyg_mpnn.PolynomialCutoff` (p = 6), which leaves two continuous derivatives at the radius
    :math:`R_{ij}`. Both factors fall with the distance, so the force is nowhere attractive. As a part of a
    :class:`~pyg_mpnn.Potential` it is added to the network's energies; alone it is a potential too.

    The radius of a pair is that of ``radii``. :meth:`set_distances` takes it from training data, in which the repulsion
    then is exactly zero. Pairs that neither names have the sum of their covalent radii.

    Args:
        radii: radius of all pairs of elements, or by pair of atomic numbers, in A.
        cutoff: no pair has a larger radius, in A: the cutoff of the edges.

    Shapes:
        ``z`` ``(nodes,)``, ``edge_index`` ``(2, edges)``, ``edge_vec`` ``(edges, 3)``; output energies ``(nodes,)``.

    Units:
        eV, A.

    Raises:
        ValueError: a radius that is not positive, above ``cutoff``, or of an unknown element.

    Source:
        Ziegler, Biersack and Littmark, The Stopping and Range of Ions in Solids, vol. 1, Pergamon 1985, ch. 2; the
        digits are those of LAMMPS, pair_style zbl, whose sum over c is 1 (the book has four). Deviation: the cutoff
        function, own choice.

    Example:
        >>> zbl = ZBL({(1, 1): 0.7}).eval()
        >>> pos = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 0.5]])
        >>> zbl(torch.tensor([1, 1]), pos).forces[:, 2].sign()
        tensor([-1.,  1.])
    """

    smoothness = 2.0
    radii: Tensor

    def __init__(self, radii: float | Mapping[tuple[int, int], float] | None = None, *, cutoff: float = 5.0) -> None:
        super().__init__()
        check_positive("A", cutoff=cutoff)
        self.limit = float(cutoff)
        covalent = covalent_radii()
        table = (covalent[:, None] + covalent).clamp(max=cutoff)
        self.register_buffer("radii", table.to(torch.get_default_dtype()))
        if isinstance(radii, Mapping):
            self.set_radii(radii)
        elif radii is not None:
            self.set_radii({(1, 1): radii})
            self.radii.copy_(torch.where(self.radii.isnan(), self.radii, self.radii[1, 1]))
        self._largest = self._measure()

    @property
    def cutoff(self) -> float:
        """Largest radius in angstrom: a plain number, which compiled code and files for engines do not ask again."""
        return self._largest

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the radii: of forces and stress."""
        return self.radii.dtype

    @property
    def isolated_energies(self) -> dict[int, float]:
        """Zero for each element: there are no others to repel."""
        return dict.fromkeys(self.elements, 0.0)

    @property
    def works_in_chunks(self) -> bool:
        """Whether ``memory="low"`` is possible: yes, pairs beyond all radii are left out first."""
        return True

    @property
    def config(self) -> dict[str, Any]:
        """Plain values that rebuild this repulsion; the radii are among its buffers."""
        return {"class": "ZBL", "cutoff": self.limit}

    def set_radii(self, radii: Mapping[tuple[int, int], float]) -> None:
        """Set the radius of some pairs of elements; that of the others stays.

        Args:
            radii: radii in angstrom by pair of atomic numbers, in any order.

        Raises:
            ValueError: a radius that is not positive, above the cutoff, or of an unknown element.
        """
        for pair, radius in radii.items():
            if len(pair) != 2 or not all(1 <= element < len(self.radii) for element in pair):
                raise ValueError(f"'radii' must be by pairs of atomic numbers 1..{len(self.radii) - 1}, got {pair}")
            if not 0.0 < radius <= self.limit:
                raise ValueError(
                    f"'radii' must be positive and at most the cutoff ({self.limit:g} A), got {radius} for {pair}"
                )
        for (first, second), radius in radii.items():
            self.radii[first, second] = self.radii[second, first] = radius
        self._largest = self._measure()

    def set_distances(self, distances: Mapping[tuple[int, int], float]) -> None:
        """Take the radii from the shortest distances in the training data, where the repulsion then is zero.

        The radius of a pair is 0.9 times its shortest distance: on test structures of rMD17 with slightly nearer atoms
        the full distance adds up to 1.4 eV/A to a force, this nothing (benchmarks/results/zbl.json). A pair that was
        seen only far apart says nothing about how near it can come: no radius becomes larger than 1.5 times the sum of
        the covalent radii, or than the cutoff.

        Args:
            distances: shortest distance in angstrom by pair of atomic numbers.
        """
        covalent = covalent_radii()
        widest = {pair: _WIDEST * float(covalent[list(pair)].sum()) for pair in distances}
        self.set_radii({pair: min(_INSIDE * dist, widest[pair], self.limit) for pair, dist in distances.items()})

    def check_elements(self, z: Tensor) -> None:
        """Raise for an atomic number outside 1..118; arguments as of :class:`EnergyModel`."""
        if z.numel() and (int(z.min()) < 1 or int(z.max()) >= len(self.radii)):
            raise ValueError(
                f"'z' must hold atomic numbers 1..{len(self.radii) - 1}, got values from {int(z.min())} to "
                f"{int(z.max())}"
            )

    def reference_energies(self, z: Tensor, batch: Tensor, num_graphs: int) -> tuple[Tensor, Tensor]:
        """Zeros: atoms apart have no energy; arguments as of :class:`EnergyModel`."""
        zeros = self.radii.new_zeros(1, dtype=torch.float64)
        return zeros.expand(num_graphs), zeros.expand(len(z))

    def interaction_energies(
        self,
        z: Tensor,
        edge_index: Tensor,
        edge_vec: Tensor,
        batch: Tensor,
        num_graphs: int,
        near: Sequence[Tensor] | None = None,
        memory: Memory = "normal",
    ) -> Tensor:
        """Energy of each atom: half of that of its pairs; arguments as of :class:`EnergyModel`."""
        if memory == "low":
            inside = (edge_vec.detach().square().sum(-1) < self.cutoff**2).nonzero().squeeze(-1)
            edge_index, edge_vec = edge_index.index_select(1, inside), edge_vec.index_select(0, inside)
        dist = torch.linalg.vector_norm(edge_vec, dim=-1)
        z_j, z_i = z.index_select(0, edge_index[0]), z.index_select(0, edge_index[1])
        envelope = polynomial_cutoff(dist / self.radii[z_i, z_j], 1.0)
        return scatter_sum(0.5 * zbl_energy(dist, z_i, z_j) * envelope, edge_index[1], z.shape[0])

    def _measure(self) -> float:
        return float(self.radii[1:, 1:].max())

    def _load_from_state_dict(self, *arguments: Any) -> None:
        super()._load_from_state_dict(*arguments)
        self._largest = self._measure()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(cutoff={self.limit:g})"
