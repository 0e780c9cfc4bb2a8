"""A sound potential in plain torch, written without sight of the laws; its steps are methods, which variants break."""

from __future__ import annotations

import math
from typing import ClassVar, NamedTuple

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

    @property
    def isolated_energies(self) -> dict[int, float]:
        """Energy of an isolated atom in eV by atomic number."""
        return dict(enumerate(self.get_buffer("reference").tolist()))

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
