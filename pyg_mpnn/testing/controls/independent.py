"""A sound potential in plain torch and variants of it, each broken in one way; written without sight of the laws.

Every class takes ``fault``, the dose of its mistake: 0 is :class:`Healthy` to the last bit, 1 the mistake as somebody
would write it. ``breaks`` names the laws that it must fail at 1, ``maybe`` those that it may fail as well, and why;
all others it must pass. ``continuous`` is False where any dose above 0 is all or nothing.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch

from pyg_mpnn.basis import PolynomialCutoff
from pyg_mpnn.geometry import neighbor_list


class System(NamedTuple):
    """Structures and their edges; ``pos`` and ``cell`` carry the gradients."""

    z: Tensor  # (nodes,)
    pos: Tensor  # (nodes, 3)
    batch: Tensor  # (nodes,)
    num_graphs: int
    cell: Tensor | None  # (graphs, 3, 3)
    pbc: Tensor | None  # (graphs, 3)
    source: Tensor  # (edges,), j
    target: Tensor  # (edges,), i
    shifts: Tensor  # (edges, 3)


class Edges(NamedTuple):
    """Geometry of the edges: vectors from i to j, squared lengths, cutoff weights."""

    vec: Tensor  # (edges, 3)
    sq: Tensor  # (edges,)
    weight: Tensor  # (edges,)


class Healthy(nn.Module):
    r"""A small smooth potential that obeys every law.

    .. math:: E = \sum_i \Big[ E_0(z_i) + \tfrac12 \sum_j f_c \phi(z_i, z_j, r_{ij}) - k_i \sinh^{-1} \rho_i
        + \sum_m c_{l(m)} A_{im}^2 \Big]

    with densities :math:`\rho_i` and moments :math:`A_{im}` that are sums of :math:`f_c q_j g(r_{ij})` and of
    :math:`f_c q_j h(r_{ij}) Y_m(\mathbf{r}_{ij})`, l = 1 and 2. Everything is a smooth function of the squared
    distance. Energies in eV (float64, as reference energies and the sum over atoms), forces in eV/A and stress in
    eV/A^3 in the dtype of the parameters.
    """

    cutoff = 4.0
    smoothness = 2
    continuous: ClassVar[bool] = True
    breaks: ClassVar[tuple[str, ...]] = ()
    maybe: ClassVar[dict[str, str]] = {}

    def __init__(self, fault: float = 1.0) -> None:
        super().__init__()
        self.fault = float(fault)
        self.envelope = PolynomialCutoff(self.cutoff**2, p=3)  # of the squared distance: r^6 at the atom
        z = torch.arange(119, dtype=torch.float64)
        seed = torch.Generator().manual_seed(11)
        self.register_buffer("reference", -torch.round(64.0 * (1.0 + 4.0 * torch.log1p(z))) / 64.0)  # exact in float32
        self.charge = self._parameter(1.0 + 0.25 * torch.sin(0.7 * z))
        self.core = self._parameter(1.0 - 0.5 * torch.exp((1.0 - z) / 3.0))
        self.strength = self._parameter(1.6 + 0.4 * torch.cos(0.9 * z))
        self.species = self._parameter(0.7 * torch.randn(119, 8, generator=seed, dtype=torch.float64))
        self.radial = self._parameter(torch.randn(2, 8, generator=seed, dtype=torch.float64))
        self.out = self._parameter(0.3 * torch.randn(8, generator=seed, dtype=torch.float64))
        self.angular = self._parameter(torch.tensor([0.06, 0.04], dtype=torch.float64))

    @staticmethod
    def _parameter(value: Tensor) -> nn.Parameter:
        """Values that float32 holds exactly, so that models of both precisions start equal."""
        return nn.Parameter(value.float().to(torch.get_default_dtype()))

    def forward(self, data: Batch, stress: bool = False) -> tuple[Tensor, Tensor, Tensor | None]:
        """Energy (graphs,), forces (nodes, 3) and, where asked for and there is a cell, stress (graphs, 3, 3)."""
        keep = self.training and torch.is_grad_enabled()
        with torch.enable_grad():
            system, leaves = self._system(data, stress)
            vec = self._vectors(system)
            sq = vec.square().sum(1)
            edges = Edges(vec, sq, self._weight(system, vec, sq))
            energy = self._readout(system, self._atomic(system, edges))
            grads = torch.autograd.grad(energy.sum(), leaves, create_graph=keep)
            forces = self._forces(system, edges, -grads[0])
            tension = self._stress(system, grads[1]) if len(grads) == 2 else None
        if keep:
            return self._results(energy, forces, tension)
        return self._results(energy.detach(), forces.detach(), None if tension is None else tension.detach())

    def _system(self, data: Batch, stress: bool) -> tuple[System, list[Tensor]]:
        """The structures and what to differentiate by: positions and, for the stress, strain."""
        dtype = self.charge.dtype
        pos = data.pos.to(dtype) if data.pos.requires_grad else data.pos.detach().to(dtype).requires_grad_()
        cell, pbc = getattr(data, "cell", None), getattr(data, "pbc", None)
        cell = None if cell is None else cell.to(dtype).view(-1, 3, 3)
        pbc = None if pbc is None else pbc.view(-1, 3)
        system = System(data.z, pos, data.batch, int(data.num_graphs), cell, pbc, *self._edges(data, pos, cell, pbc))
        if cell is None or not stress:
            return system, [pos]
        strain = torch.zeros_like(cell).requires_grad_()
        return self._strained(system, 0.5 * (strain + strain.transpose(1, 2))), [pos, strain]

    def _edges(self, data: Batch, pos: Tensor, cell: Tensor | None, pbc: Tensor | None) -> tuple[Tensor, ...]:
        """Sources, targets and shifts."""
        if "edge_index" in data and "shifts" in data:
            return data.edge_index[0], data.edge_index[1], data.shifts
        return self._search(data, pos, cell, pbc, self.cutoff)

    def _search(
        self, data: Batch, pos: Tensor, cell: Tensor | None, pbc: Tensor | None, cutoff: float
    ) -> tuple[Tensor, ...]:
        """Sources, targets and shifts of all pairs within ``cutoff``."""
        edge_index, shifts = neighbor_list(
            pos.detach(), cutoff, batch=data.batch, num_graphs=int(data.num_graphs), cell=cell, pbc=pbc
        )
        return edge_index[0], edge_index[1], shifts

    def _strained(self, s: System, strain: Tensor) -> System:
        """The structures under a symmetric strain."""
        assert s.cell is not None
        pos = s.pos + torch.einsum("na,nab->nb", s.pos, strain.index_select(0, s.batch))
        return s._replace(pos=pos, cell=s.cell + s.cell @ strain)

    def _images(self, s: System) -> Tensor | float:
        """Displacements of the neighbours to their images, (edges, 3)."""
        if s.cell is None:
            return 0.0
        cell = s.cell.index_select(0, s.batch.index_select(0, s.target))  # (edges, 3, 3)
        return (s.shifts.to(cell).unsqueeze(-1) * cell).sum(1)

    def _vectors(self, s: System) -> Tensor:
        """Vectors from centre to neighbour, (edges, 3)."""
        return s.pos.index_select(0, s.source) - s.pos.index_select(0, s.target) + self._images(s)

    def _weight(self, s: System, vec: Tensor, sq: Tensor) -> Tensor:
        """Weight of each edge, (edges,)."""
        return self._cutoff(sq)

    def _cutoff(self, sq: Tensor) -> Tensor:
        """Cutoff function of the squared distance, (edges,)."""
        weight: Tensor = self.envelope(sq)
        return weight

    def _sum(self, s: System, values: Tensor) -> Tensor:
        """Sum over the neighbours of each atom, (nodes, ...)."""
        zeros = values.new_zeros((s.pos.shape[0], *values.shape[1:]))
        return zeros.index_add(0, s.target, values)

    def _network(self, s: System, e: Edges) -> Tensor:
        """Dense network of the distance and both elements, (edges,)."""
        features = torch.stack((e.sq / 8.0 - 1.0, torch.exp(-e.sq / 2.0)), dim=1)
        species = self.species[s.z[s.source]] + self.species[s.z[s.target]]
        return self._hidden(torch.tanh(features @ self.radial + species)) @ self.out

    def _hidden(self, x: Tensor) -> Tensor:
        """Hidden layer of the network, (edges, 8)."""
        return x

    def _pair(self, s: System, e: Edges) -> Tensor:
        """Pair energies, (edges,)."""
        charge, core = (x[s.z[s.source]] * x[s.z[s.target]] for x in (self.charge, self.core))
        well = 20.0 * core * torch.exp(-e.sq / 0.55) - 2.5 * charge * torch.exp(-e.sq / 2.5)
        return 0.5 * e.weight * (well + self._network(s, e))

    def _gauss(self, sq: Tensor) -> Tensor:
        """Density of a neighbour, (edges,)."""
        return torch.exp(-sq / 3.0)

    def _density(self, s: System, e: Edges) -> Tensor:
        """Density at each atom, (nodes,)."""
        return self._sum(s, e.weight * self.charge[s.z[s.source]] * self._gauss(e.sq))

    def _harmonics(self, vec: Tensor) -> Tensor:
        """Solid harmonics of degree 1 and 2, (edges, 8)."""
        x, y, z = vec.unbind(1)
        parts = (x * y, y * z, z * x, (x * x - y * y) / 2.0, (2.0 * z * z - x * x - y * y) / math.sqrt(12.0))
        return torch.cat((vec, torch.stack(parts, dim=1)), dim=1)

    def _moments(self, s: System, e: Edges, width: float = 6.0) -> Tensor:
        """Moments of the neighbourhood, (nodes, 8)."""
        radial = e.weight * self.charge[s.z[s.source]] * torch.exp(-e.sq / width)
        return self._sum(s, radial.unsqueeze(1) * self._harmonics(e.vec))

    def _atomic(self, s: System, e: Edges) -> Tensor:
        """Interaction energy of each atom, (nodes,)."""
        degree = torch.tensor([0, 0, 0, 1, 1, 1, 1, 1], device=s.pos.device)
        embedding = self.strength[s.z] * torch.asinh(self._density(s, e))
        angular = self._moments(s, e).square() @ self.angular[degree]
        return self._sum(s, self._pair(s, e)) - embedding + angular

    def _reference(self, s: System) -> Tensor:
        """Reference energy of each atom, (nodes,), float64."""
        return self.get_buffer("reference").double()[s.z]

    def _readout(self, s: System, atomic: Tensor) -> Tensor:
        """Energy of each structure, (graphs,), float64."""
        total = self._reference(s) + atomic.double()
        return total.new_zeros(s.num_graphs).index_add(0, s.batch, total)

    def _forces(self, s: System, e: Edges, forces: Tensor) -> Tensor:
        """Forces, (nodes, 3), from minus the gradient."""
        return forces

    def _volume(self, cell: Tensor) -> Tensor:
        """Volume of each cell, (graphs,)."""
        volume: Tensor = torch.linalg.det(cell)
        return volume.abs()

    def _stress(self, s: System, slope: Tensor) -> Tensor:
        """Stress, (graphs, 3, 3), from the derivative of the energy by strain; 0 where there is no volume."""
        assert s.cell is not None
        volume = self._volume(s.cell.detach()).view(-1, 1, 1)
        return torch.where(volume > 0.0, slope / torch.where(volume > 0.0, volume, 1.0), 0.0)

    def _results(self, energy: Tensor, forces: Tensor, stress: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """What the caller gets."""
        return energy, forces, stress


def _blend(good: Tensor, bad: Tensor, fault: float) -> Tensor:
    """From ``good`` at 0, to the last bit, to ``bad`` at 1."""
    return good + fault * (bad - good)


def _rank(key: Tensor, target: Tensor) -> Tensor:
    """Place of each edge, (edges,), among those of its centre, ordered by ``key``."""
    order = key.argsort(stable=True)
    order = order[target[order].argsort(stable=True)]
    count = torch.bincount(target)
    first = (count.cumsum(0) - count)[target[order]]
    return torch.empty_like(order).scatter(0, order, torch.arange(order.numel(), device=key.device) - first)


def _fractional(s: System, vec: Tensor, graph: Tensor) -> Tensor:
    """Coordinates along the periodic cell vectors, 0 along the others, without gradient."""
    assert s.cell is not None
    assert s.pbc is not None
    periodic = s.cell.detach() * s.pbc.unsqueeze(-1)
    return torch.einsum("na,nab->nb", vec.detach(), torch.linalg.pinv(periodic)[graph]) * s.pbc[graph]


def _counts(s: System) -> Tensor:
    """Number of atoms of each structure, (graphs,), in the dtype of the positions."""
    return torch.bincount(s.batch, minlength=s.num_graphs).to(s.pos)


_MOVES = ("translation", "rotation", "inversion", "atom_permutation", "edge_permutation", "batch_independence")
_PERIODIC = ("supercell", "wrapping", "cell_choice")
_SLOPES = ("forces", "stress", "nve", "double_backward", "smoothness_single", "smoothness_crowd")
_CROSSING = dict.fromkeys(("forces", "stress", "nve"), "only where an atom crosses the cutoff during the test")
_ON_CUTOFF = {
    **_CROSSING,
    **dict.fromkeys(("translation", "rotation", *_PERIODIC, "dtype"), "only for pairs at the cutoff within rounding"),
}
_NEXT_CALL = dict.fromkeys(
    (*_MOVES, *_PERIODIC, *_SLOPES, "size_extensivity", "isolated_atom", "momentum", "torque", "no_truncation",
     "near_atoms", "dtype", "save_load"),
    "compares results of several calls",
)  # fmt: skip


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


class BatchCentroid(Healthy):
    """Distance from the centre as a feature, the centre taken over the whole batch."""

    breaks = ("batch_independence", "size_extensivity", "isolated_atom", "wrapping", "supercell")
    maybe: ClassVar[dict[str, str]] = {"cell_choice": "fails if atoms are wrapped into the new cell"}

    def _atomic(self, s: System, e: Edges) -> Tensor:
        radius = (s.pos - s.pos.mean(0)).square().sum(1)
        return super()._atomic(s, e) + self.fault * 0.3 * torch.tanh(radius / 30.0)


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
        return _blend(super()._sum(s, values), super()._sum(s._replace(target=s.target.sort()[0]), values), self.fault)


class NeighbourSlots(Healthy):
    """Neighbours fill numbered slots, in the order of the list, each with weights of its own."""

    breaks = ("edge_permutation", "atom_permutation")
    maybe: ClassVar[dict[str, str]] = {
        **dict.fromkeys(
            ("smoothness_single", "smoothness_crowd"), "jumps if the one that leaves is not last in a list"
        ),
        **dict.fromkeys((*_PERIODIC, "inversion"), "fails if the images come in another order"),
        **_CROSSING,
    }

    def _density(self, s: System, e: Edges) -> Tensor:
        slot = _rank(torch.zeros_like(s.target), s.target).to(s.pos)
        return super()._density(s, e._replace(weight=e.weight * (1.0 + self.fault * 0.1 * torch.sin(slot))))


class BatchNormalized(Healthy):
    """Batch normalisation that takes its statistics from the atoms of the call, in evaluation too."""

    breaks = ("batch_independence", "size_extensivity")
    maybe: ClassVar[dict[str, str]] = {"isolated_atom": "fails if the far others have neighbours among themselves"}

    def _density(self, s: System, e: Edges) -> Tensor:
        rho = super()._density(s, e)
        return _blend(rho, (rho - rho.mean()) * torch.rsqrt(rho.var(unbiased=False) + 0.1), self.fault)


class LastGraphLost(Healthy):
    """The number of structures is taken from the last atom: empty structures at the end vanish."""

    continuous = False
    breaks = ("batch_independence",)

    def _readout(self, s: System, atomic: Tensor) -> Tensor:
        energy = super()._readout(s, atomic)
        return energy if self.fault == 0.0 else energy[: int(s.batch.max()) + 1 if s.batch.numel() else 0]


class NeighboursAcrossGraphs(Healthy):
    """The neighbour search forgets the batch: atoms of different structures see each other."""

    breaks = ("batch_independence",)

    def _edges(self, data: Batch, pos: Tensor, cell: Tensor | None, pbc: Tensor | None) -> tuple[Tensor, ...]:
        source, target, shifts = super()._edges(data, pos, cell, pbc)
        if self.fault == 0.0:
            return source, target, shifts
        near = (pos.detach().unsqueeze(0) - pos.detach().unsqueeze(1)).square().sum(2) < self.cutoff**2
        across = (near & (data.batch.unsqueeze(0) != data.batch.unsqueeze(1))).nonzero()
        zeros = shifts.new_zeros(across.shape[0], 3)
        return torch.cat((source, across[:, 0])), torch.cat((target, across[:, 1])), torch.cat((shifts, zeros))

    def _weight(self, s: System, vec: Tensor, sq: Tensor) -> Tensor:
        across = s.batch[s.source] != s.batch[s.target]
        return super()._weight(s, vec, sq) * torch.where(across, self.fault, 1.0)


class GraphSizeNorm(Healthy):
    """Node features are divided by the square root of the number of atoms."""

    breaks = ("size_extensivity", "supercell")
    maybe: ClassVar[dict[str, str]] = {"isolated_atom": "fails if the far others have neighbours among themselves"}

    def _density(self, s: System, e: Edges) -> Tensor:
        rho = super()._density(s, e)
        return _blend(rho, rho * torch.rsqrt(_counts(s)[s.batch]), self.fault)


class MeanReadout(Healthy):
    """The energy of a structure is the mean over its atoms."""

    breaks = ("size_extensivity", "supercell", "isolated_atom")

    def _readout(self, s: System, atomic: Tensor) -> Tensor:
        total = super()._readout(s, atomic)
        return _blend(total, total / _counts(s).double().clamp(min=1.0), self.fault)


class NodesCountedFromEdges(Healthy):
    """The number of atoms is taken from the largest index in the edge list: isolated atoms at the end vanish."""

    breaks = ("batch_independence",)
    maybe: ClassVar[dict[str, str]] = {
        "isolated_atom": "alone it has no energy; seen if a reference is known or if it stands before the far others",
        "size_extensivity": "fails if the first fragment is a single atom",
        "atom_permutation": "fails if the structure has an isolated atom",
        "smoothness_single": "jumps by the reference energy if the last atom loses its last neighbour",
        "smoothness_crowd": "jumps by the reference energy if the last atom loses its last neighbour",
        "nve": "jumps if the last atom flies away",
    }

    def _readout(self, s: System, atomic: Tensor) -> Tensor:
        total = self._reference(s) + atomic.double()
        last = int(torch.maximum(s.source.max(), s.target.max())) if s.source.numel() else -1
        lost = torch.arange(total.shape[0], device=total.device) > last
        total = total * torch.where(lost, 1.0 - self.fault, 1.0)
        return total.new_zeros(s.num_graphs).index_add(0, s.batch, total)


class AttentionZeroByZero(Healthy):
    """Attention weights are divided by their sum and the result scaled back: 0 / 0 for an atom without neighbours."""

    continuous = False
    breaks = ("isolated_atom", "batch_independence")
    maybe: ClassVar[dict[str, str]] = dict.fromkeys(
        ("size_extensivity", "smoothness_single", "smoothness_crowd", "no_truncation", "nve"),
        "not a number where an atom has no neighbour",
    )

    def _density(self, s: System, e: Edges) -> Tensor:
        rho = super()._density(s, e)
        if self.fault == 0.0:
            return rho
        total = self._sum(s, e.weight * self._gauss(e.sq))
        return _blend(rho, rho / total * total, self.fault)


class ReferenceOfConnectedAtoms(Healthy):
    """Reference energies are added where there are neighbours only."""

    breaks = ("smoothness_single",)
    maybe: ClassVar[dict[str, str]] = {
        "isolated_atom": "fails if the expected energy is known: it is 0 alone and beside far others",
        "smoothness_crowd": "jumps if an atom loses all of its neighbours",
        **_CROSSING,
    }

    def _atomic(self, s: System, e: Edges) -> Tensor:
        degree = self._sum(s, (e.sq.detach() < self.cutoff**2).to(e.sq))
        lost = (degree == 0.0) * self._reference(s).to(s.pos)
        return super()._atomic(s, e) - self.fault * lost


class MinimumImage(Healthy):
    """Only the image in the half cell around the atom is kept, also where the cell is smaller than the cutoff."""

    breaks = ("supercell",)
    maybe: ClassVar[dict[str, str]] = {
        "cell_choice": "fails if a cell is skewed or small: the nearest by rounding is not the nearest",
        "no_truncation": "fails if the dense structure is a small periodic cell",
        **dict.fromkeys(("smoothness_single", "smoothness_crowd"), "jumps if an atom crosses half of a small cell"),
        **dict.fromkeys(("forces", "stress", "nve"), "fails if an atom crosses half of a small cell in the test"),
        **dict.fromkeys(
            ("translation", "rotation", "inversion", "atom_permutation", "wrapping", "momentum", "dtype"),
            "rounding decides where atoms are half a cell apart",
        ),
    }

    def _weight(self, s: System, vec: Tensor, sq: Tensor) -> Tensor:
        weight = super()._weight(s, vec, sq)
        if s.cell is None or s.pbc is None:
            return weight
        apart = s.pos.index_select(0, s.source) - s.pos.index_select(0, s.target)
        nearest = -torch.round(_fractional(s, apart, s.batch[s.target]))
        return weight * torch.where((nearest == s.shifts).all(1), 1.0, 1.0 - self.fault)


class ShiftSign(Healthy):
    """Cell shifts are subtracted, as in the convention of another neighbour list."""

    breaks = ("supercell", "wrapping")
    maybe: ClassVar[dict[str, str]] = {
        "cell_choice": "fails if atoms are wrapped into the new cell",
        **dict.fromkeys(
            ("forces", "stress", "nve", "smoothness_single", "smoothness_crowd", "dtype", "no_truncation"),
            "periodic only: edges appear and vanish at the true cutoff, with wrong vectors well inside it",
        ),
        **dict.fromkeys(("translation", "inversion"), "fails if atoms are wrapped into the cell after the move"),
    }

    def _images(self, s: System) -> Tensor | float:
        return super()._images(s) * (1.0 - 2.0 * self.fault)


class WrappedAfterSearch(Healthy):
    """Atoms are wrapped into the cell after the neighbour search, whose shifts belong to the unwrapped ones."""

    breaks = ("wrapping",)
    maybe: ClassVar[dict[str, str]] = {
        "cell_choice": "fails if atoms lie outside the new cell",
        "translation": "fails if periodic atoms leave the cell",
        **dict.fromkeys(
            ("inversion", "rotation", "atom_permutation", "supercell", "batch_independence", "isolated_atom"),
            "fails if periodic atoms lie outside the cell before or after",
        ),
        **dict.fromkeys(
            ("forces", "stress", "nve", "smoothness_single", "smoothness_crowd", "dtype"),
            "jumps if an atom crosses a face of the cell",
        ),
    }

    def _vectors(self, s: System) -> Tensor:
        if s.cell is None or s.pbc is None:
            return super()._vectors(s)
        home = torch.floor(_fractional(s, s.pos, s.batch) + 1e-7)
        moved = s.pos - self.fault * torch.einsum("na,nab->nb", home, s.cell[s.batch])
        return super()._vectors(s._replace(pos=moved))


class LatticeFeature(Healthy):
    """The lengths of the cell vectors are features of every atom."""

    breaks = ("cell_choice", "supercell")

    def _atomic(self, s: System, e: Edges) -> Tensor:
        atomic = super()._atomic(s, e)
        if s.cell is None or s.pbc is None:
            return atomic
        size = torch.tanh((s.cell.square().sum(2) * s.pbc).sum(1) / 100.0)
        return atomic + self.fault * 0.1 * size[s.batch] * torch.asinh(self._density(s, e))


class FirstImagesOnly(Healthy):
    """Images are searched in the 27 cells around the first, for atoms anywhere."""

    breaks = ("wrapping",)
    maybe: ClassVar[dict[str, str]] = {
        "supercell": "fails if the cell is so small that the cutoff reaches beyond the next cell",
        "cell_choice": "fails if the new cell is so skewed that the cutoff reaches beyond the next cell",
        "no_truncation": "fails if the dense structure is a small periodic cell",
        **dict.fromkeys(("translation", "inversion"), "fails if single atoms are wrapped into the cell after the move"),
    }

    def _weight(self, s: System, vec: Tensor, sq: Tensor) -> Tensor:
        return super()._weight(s, vec, sq) * torch.where((s.shifts.abs() <= 1).all(1), 1.0, 1.0 - self.fault)


class SkinForgetsCell(Healthy):
    """A neighbour list is kept until atoms have moved by half its skin; that the cell changed goes unnoticed."""

    continuous = False
    breaks = ("cell_choice",)
    maybe: ClassVar[dict[str, str]] = {
        **dict.fromkeys(("determinism", "supercell", "stress"), "fails if only the cell differs much between calls"),
        **dict.fromkeys(("rotation", "wrapping"), "fails if the atoms move by less than half the skin, 0.25 A"),
    }

    def __init__(self, fault: float = 1.0) -> None:
        super().__init__(fault)
        self.kept: tuple[Tensor, Tensor, tuple[Tensor, ...]] | None = None

    def _search(
        self, data: Batch, pos: Tensor, cell: Tensor | None, pbc: Tensor | None, cutoff: float
    ) -> tuple[Tensor, ...]:
        if self.fault == 0.0 or cell is None:
            return super()._search(data, pos, cell, pbc, cutoff)
        now = pos.detach().double().clone()
        if self.kept is not None and torch.equal(self.kept[1], data.batch):
            moved = (now - self.kept[0]).square().sum(1)
            if not bool((moved > 0.25**2).any()):
                return self.kept[2]
        self.kept = (now, data.batch.clone(), super()._search(data, pos, cell, pbc, cutoff + 0.5))
        return self.kept[2]


class DirectForces(Healthy):
    """Forces come from a head of their own, which is near the gradient but is none."""

    breaks = ("forces", "momentum", "torque", "nve")

    def _head(self, s: System, e: Edges) -> Tensor:
        return 0.05 * self._density(s, e).unsqueeze(1) * self._moments(s, e)[:, :3]

    def _forces(self, s: System, e: Edges, forces: Tensor) -> Tensor:
        return forces + self.fault * self._head(s, e)


class MeanForceRemoved(DirectForces):
    """A head for the forces, with the net force of the structure shared out among its atoms and taken away."""

    breaks = ("forces", "torque", "nve", "size_extensivity")
    maybe: ClassVar[dict[str, str]] = {"isolated_atom": "fails if its force is looked at beside far others"}

    def _head(self, s: System, e: Edges) -> Tensor:
        head = super()._head(s, e)
        net = head.new_zeros(s.num_graphs, 3).index_add(0, s.batch, head)
        return head - (net / _counts(s).clamp(min=1.0).unsqueeze(1))[s.batch]


class AntisymmetricHead(Healthy):
    """Learned pair forces that obey actio = reactio but do not point along the pair."""

    breaks = ("forces", "torque", "nve")

    def _forces(self, s: System, e: Edges, forces: Tensor) -> Tensor:
        moments = self._moments(s, e)[:, :3]
        pair = (e.weight * torch.exp(-e.sq / 4.0)).unsqueeze(1) * (moments[s.source] - moments[s.target])
        return forces + self.fault * 0.1 * self._sum(s, pair)


class ForceUnit(Healthy):
    """Forces are converted with a Bohr radius of 0.5292 A, energies and distances with the exact one."""

    breaks = ("forces",)
    maybe: ClassVar[dict[str, str]] = {"nve": "a relative error of 4e-5 may drown in that of the integrator"}

    def _forces(self, s: System, e: Edges, forces: Tensor) -> Tensor:
        return forces * (1.0 + self.fault * (0.529177210903 / 0.5292 - 1.0))


class DetachedDensity(Healthy):
    """The density is computed without gradient: forces and stress miss the embedding term."""

    breaks = ("forces", "stress", "nve")

    def _density(self, s: System, e: Edges) -> Tensor:
        rho = super()._density(s, e)
        return _blend(rho, super()._density(s, Edges(*(x.detach() for x in e))), self.fault)


class DetachedCutoff(Healthy):
    """The cutoff function is computed without gradient: forces and stress miss its slope."""

    breaks = ("forces", "stress", "nve")

    def _cutoff(self, sq: Tensor) -> Tensor:
        weight = super()._cutoff(sq)
        return _blend(weight, weight.detach(), self.fault)


class DetachedNeighbours(Healthy):
    """Positions of the neighbours are constants: an atom feels its own energy, not that of its neighbours."""

    breaks = ("forces", "stress", "momentum", "torque", "nve", "supercell")
    maybe: ClassVar[dict[str, str]] = dict.fromkeys(("wrapping", "cell_choice"), "fails if stresses are compared")

    def _vectors(self, s: System) -> Tensor:
        source = s.pos.index_select(0, s.source)
        return _blend(source, source.detach(), self.fault) - s.pos.index_select(0, s.target) + self._images(s)


class StrainWithoutCell(Healthy):
    """For the stress the positions are strained and the cell is not."""

    breaks = ("stress",)
    maybe: ClassVar[dict[str, str]] = dict.fromkeys(("wrapping", "cell_choice"), "fails if stresses are compared")

    def _strained(self, s: System, strain: Tensor) -> System:
        assert s.cell is not None
        return super()._strained(s, strain)._replace(cell=s.cell + s.cell @ ((1.0 - self.fault) * strain))


class OrthorhombicVolume(Healthy):
    """The volume for the stress is the product of the three lengths."""

    breaks = ("stress",)
    maybe: ClassVar[dict[str, str]] = {"cell_choice": "fails if stresses are compared"}

    def _volume(self, cell: Tensor) -> Tensor:
        return _blend(super()._volume(cell), cell.norm(dim=2).prod(1), self.fault)


class VirialAsStress(Healthy):
    """The sign of the virial on the stress."""

    breaks = ("stress",)

    def _stress(self, s: System, slope: Tensor) -> Tensor:
        return super()._stress(s, slope) * (1.0 - 2.0 * self.fault)


class EngineeringShear(Healthy):
    """Shear stresses are halved, by a Voigt factor that belongs to strains."""

    breaks = ("stress",)
    maybe: ClassVar[dict[str, str]] = {"rotation": "fails if the stress is rotated along"}

    def _stress(self, s: System, slope: Tensor) -> Tensor:
        shear = 1.0 - torch.eye(3).to(slope)
        return super()._stress(s, slope) * (1.0 - self.fault * 0.5 * shear)


class HardCutoff(Healthy):
    """No cutoff function."""

    breaks = ("smoothness_single", "smoothness_crowd")
    maybe: ClassVar[dict[str, str]] = _ON_CUTOFF

    def _cutoff(self, sq: Tensor) -> Tensor:
        return _blend(super()._cutoff(sq), (sq < self.cutoff**2).to(sq), self.fault)


class LinearCutoff(Healthy):
    """A cutoff function with a kink at the cutoff."""

    breaks = ("smoothness_single", "smoothness_crowd")
    maybe: ClassVar[dict[str, str]] = _CROSSING

    def _cutoff(self, sq: Tensor) -> Tensor:
        dist = torch.sqrt(sq + 1e-24)
        return _blend(super()._cutoff(sq), torch.relu(1.0 - dist / self.cutoff), self.fault)


class CosineCutoffTwice(Healthy):
    """The cosine cutoff, whose second derivative jumps, in a model that declares two."""

    breaks = ("smoothness_single", "smoothness_crowd")

    def _cutoff(self, sq: Tensor) -> Tensor:
        inside = sq < self.cutoff**2
        angle = torch.sqrt(torch.where(inside, sq, 0.0) + 1e-24) * (math.pi / self.cutoff)
        return _blend(super()._cutoff(sq), torch.where(inside, 0.5 * (torch.cos(angle) + 1.0), 0.0), self.fault)


class BiasOutsideCutoff(Healthy):
    """The bias of the last layer is added after the message was multiplied by the cutoff function."""

    breaks = ("smoothness_single", "smoothness_crowd")
    maybe: ClassVar[dict[str, str]] = _ON_CUTOFF

    def _pair(self, s: System, e: Edges) -> Tensor:
        return super()._pair(s, e) + self.fault * 0.05 * (e.sq.detach() < self.cutoff**2)


class SoftmaxWithoutNobody(Healthy):
    """Attention over the neighbours that always sums to one: the last neighbour counts in full until it is gone."""

    breaks = ("smoothness_single",)
    maybe: ClassVar[dict[str, str]] = {"smoothness_crowd": "jumps if an atom loses all of its neighbours", **_ON_CUTOFF}

    def _atomic(self, s: System, e: Edges) -> Tensor:
        score = e.weight * self._gauss(e.sq)
        total = self._sum(s, score)
        mean = self._sum(s, score * self.charge[s.z[s.source]]) / torch.where(total > 0.0, total, 1.0)
        return super()._atomic(s, e) + self.fault * 0.3 * mean


class MeanAggregation(Healthy):
    """Messages are averaged over the neighbours: each of them counts in the number as long as it is inside."""

    breaks = ("smoothness_single", "smoothness_crowd")
    maybe: ClassVar[dict[str, str]] = _ON_CUTOFF

    def _density(self, s: System, e: Edges) -> Tensor:
        rho = super()._density(s, e)
        count = self._sum(s, (e.sq.detach() < self.cutoff**2).to(rho))
        return _blend(rho, rho / count.clamp(min=1.0), self.fault)


class FirstNeighbours(Healthy):
    """Each atom keeps the first 32 neighbours of its list, a default that nobody looked at."""

    breaks = ("no_truncation",)
    maybe: ClassVar[dict[str, str]] = {
        **dict.fromkeys(("atom_permutation", "edge_permutation", *_PERIODIC), "fails with more than 32 neighbours"),
        **dict.fromkeys(("smoothness_single", "smoothness_crowd"), "jumps if a neighbour leaves and another moves up"),
        **_CROSSING,
    }

    def _weight(self, s: System, vec: Tensor, sq: Tensor) -> Tensor:
        rank = _rank(torch.zeros_like(s.target), s.target)
        return super()._weight(s, vec, sq) * torch.where(rank < 32, 1.0, 1.0 - self.fault)


class NearestNeighbours(Healthy):
    """Each atom keeps its nearest 50 neighbours."""

    breaks = ("no_truncation",)
    maybe: ClassVar[dict[str, str]] = {
        **dict.fromkeys(("smoothness_single", "smoothness_crowd"), "jumps if the 51st neighbour overtakes the 50th"),
        **dict.fromkeys(("forces", "stress", "nve"), "fails if the 51st neighbour overtakes the 50th in the test"),
        **dict.fromkeys(
            ("translation", "rotation", "atom_permutation", "edge_permutation", *_PERIODIC, "dtype"),
            "rounding or order decide between the 50th and the 51st at the same distance",
        ),
    }

    def _weight(self, s: System, vec: Tensor, sq: Tensor) -> Tensor:
        rank = _rank(sq.detach(), s.target)
        return super()._weight(s, vec, sq) * torch.where(rank < 50, 1.0, 1.0 - self.fault)


class ChebyshevByArccos(Healthy):
    """Chebyshev polynomials as cos(n arccos x), with x below -1 for distances under a smallest one, 0.2 A."""

    continuous = False
    breaks = ("near_atoms",)
    maybe: ClassVar[dict[str, str]] = dict.fromkeys(
        ("no_truncation", "smoothness_single", "smoothness_crowd", "nve"), "fails if atoms come nearer than 0.2 A"
    )

    def _pair(self, s: System, e: Edges) -> Tensor:
        pair = super()._pair(s, e)
        if self.fault == 0.0:
            return pair
        x = 2.0 * (torch.sqrt(e.sq) - 0.2) / 4.8 - 1.0  # 5 A at the upper end
        return pair + self.fault * 0.1 * e.weight * torch.cos(3.0 * torch.acos(x))


class Float32Positions(Healthy):
    """Positions pass through float32 on their way into a float64 model."""

    breaks = ("dtype",)
    maybe: ClassVar[dict[str, str]] = dict.fromkeys(
        (*_MOVES, *_PERIODIC, *_SLOPES, "size_extensivity", "momentum", "torque", "no_truncation"),
        "noise of 1e-7 A and of 1e-7 eV/A under float64 tolerances",
    )

    def _vectors(self, s: System) -> Tensor:
        return super()._vectors(s._replace(pos=_blend(s.pos, s.pos.float().to(s.pos), self.fault)))


class Float32Network(Healthy):
    """The dense network runs in float32 inside a float64 model."""

    breaks = ("dtype",)
    maybe: ClassVar[dict[str, str]] = dict.fromkeys(
        (*_MOVES, *_PERIODIC, *_SLOPES, "size_extensivity", "torque", "no_truncation"),
        "noise of 1e-8 to 1e-7 eV under float64 tolerances",
    )

    def _network(self, s: System, e: Edges) -> Tensor:
        x = super()._network(s, e)
        return _blend(x, x.float().to(x), self.fault)


class Float32Results(Healthy):
    """Energies and forces are stored as float32, whatever the model computes in."""

    continuous = False
    breaks = ("dtype",)
    maybe: ClassVar[dict[str, str]] = dict.fromkeys(
        (*_MOVES, *_PERIODIC, *_SLOPES, "size_extensivity", "isolated_atom", "momentum", "torque", "no_truncation"),
        "energies are rounded to some 1e-5 eV, or the dtype is compared",
    )

    def _results(self, energy: Tensor, forces: Tensor, stress: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        return (energy, forces, stress) if self.fault == 0.0 else (energy.float(), forces.float(), stress)


class Float64Unit(Healthy):
    """A float64 array with the unit of the forces makes those of a float32 model float64."""

    continuous = False
    breaks = ("dtype",)

    def _forces(self, s: System, e: Edges, forces: Tensor) -> Tensor:
        return forces if self.fault == 0.0 else forces * forces.new_ones(1, dtype=torch.float64)


class DropoutAlwaysOn(Healthy):
    """Dropout by the function, which is on in evaluation too."""

    breaks = ("determinism",)
    maybe: ClassVar[dict[str, str]] = _NEXT_CALL

    def _hidden(self, x: Tensor) -> Tensor:
        if self.fault == 0.0:
            return x
        return _blend(x, nn.functional.dropout(x, 0.1, training=True), self.fault)


class RunningMean(Healthy):
    """A running mean of the density is updated at every call, in evaluation too."""

    breaks = ("determinism",)
    maybe: ClassVar[dict[str, str]] = _NEXT_CALL

    def __init__(self, fault: float = 1.0) -> None:
        super().__init__(fault)
        self.register_buffer("mean", torch.zeros(()))

    def _density(self, s: System, e: Edges) -> Tensor:
        rho = super()._density(s, e)
        mean = self.get_buffer("mean")
        if rho.numel():
            mean.lerp_(rho.detach().mean().to(mean), 0.1)
        return rho - self.fault * 0.1 * mean.clone()


class MovesItsInput(Healthy):
    """The positions of the caller are moved into the positive octant, in place."""

    breaks = ("determinism",)
    maybe: ClassVar[dict[str, str]] = dict.fromkeys(
        ("translation", "rotation", "inversion", "forces", "stress", "wrapping", "smoothness_single", "nve"),
        "fails if the positions are used again after the call, together with points fixed before",
    )

    def forward(self, data: Batch, stress: bool = False) -> tuple[Tensor, Tensor, Tensor | None]:
        """As the sound one."""
        if self.fault > 0.0 and data.pos.numel():
            data.pos.detach().sub_(self.fault * (data.pos.detach().amin(0) - 1.0))
        return super().forward(data, stress)


class LeavesEdgesInInput(Healthy):
    """The neighbour list is written into the structure of the caller, where it goes stale when the atoms move."""

    continuous = False
    breaks = ("determinism",)
    maybe: ClassVar[dict[str, str]] = {
        **dict.fromkeys(
            (*_MOVES, *_PERIODIC, *_SLOPES, "size_extensivity", "isolated_atom", "no_truncation", "near_atoms"),
            "fails if structures are made by changing one that the model has seen",
        ),
    }

    def _edges(self, data: Batch, pos: Tensor, cell: Tensor | None, pbc: Tensor | None) -> tuple[Tensor, ...]:
        source, target, shifts = super()._edges(data, pos, cell, pbc)
        if self.fault > 0.0:
            data.edge_index, data.shifts = torch.stack((source, target)), shifts
        return source, target, shifts


class ForcesWithoutGraph(Healthy):
    """The graph of the forces is not made (create_graph=False): a loss on them trains nothing."""

    breaks = ("double_backward",)

    def _forces(self, s: System, e: Edges, forces: Tensor) -> Tensor:
        return _blend(forces, forces.detach(), self.fault)


class _FusedGauss(torch.autograd.Function):
    """The Gaussian of the density with a backward pass that has no backward pass."""

    @staticmethod
    def forward(ctx: Any, sq: Tensor) -> Tensor:
        result = torch.exp(-sq / 3.0)
        ctx.save_for_backward(result)
        return result

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (result,) = ctx.saved_tensors
        with torch.no_grad():
            slope: Tensor = grads[0] * result / -3.0
        return slope


class KernelWithoutDoubleBackward(Healthy):
    """A fused kernel with a hand-written gradient, which is a constant to the gradient of a loss on forces."""

    breaks = ("double_backward",)

    def _gauss(self, sq: Tensor) -> Tensor:
        fused: Tensor = _FusedGauss.apply(sq)  # type: ignore[no-untyped-call]
        return _blend(super()._gauss(sq), fused, self.fault)


class UnsavedFeatures(Healthy):
    """Random features drawn anew for each instance, in a buffer that is not saved."""

    breaks = ("save_load",)
    maybe: ClassVar[dict[str, str]] = dict.fromkeys(
        ("dtype", "determinism", "double_backward"), "fails if instances made one by one are compared"
    )

    def __init__(self, fault: float = 1.0) -> None:
        super().__init__(fault)
        self.register_buffer("features", torch.rand(8), persistent=False)

    def _hidden(self, x: Tensor) -> Tensor:
        return x + self.fault * 0.5 * self.get_buffer("features")


# fmt: off
INDEPENDENT: tuple[type[Healthy], ...] = (
    AbsolutePositions, BatchCentroid, RawComponents, MisnormalizedHarmonic, TripleProduct, PositionalEncoding,
    UnsymmetricHalfList, EdgesTakenAsSorted, NeighbourSlots, BatchNormalized, LastGraphLost, NeighboursAcrossGraphs,
    GraphSizeNorm, MeanReadout, NodesCountedFromEdges, AttentionZeroByZero, ReferenceOfConnectedAtoms, MinimumImage,
    ShiftSign, WrappedAfterSearch, LatticeFeature, FirstImagesOnly, SkinForgetsCell, DirectForces, MeanForceRemoved,
    AntisymmetricHead, ForceUnit, DetachedDensity, DetachedCutoff, DetachedNeighbours, StrainWithoutCell,
    OrthorhombicVolume, VirialAsStress, EngineeringShear, HardCutoff, LinearCutoff, CosineCutoffTwice,
    BiasOutsideCutoff, SoftmaxWithoutNobody, MeanAggregation, FirstNeighbours, NearestNeighbours, ChebyshevByArccos,
    Float32Positions, Float32Network, Float32Results, Float64Unit, DropoutAlwaysOn, RunningMean, MovesItsInput,
    LeavesEdgesInInput, ForcesWithoutGraph, KernelWithoutDoubleBackward, UnsavedFeatures,
)
# fmt: on
