"""Atoms of other processes: which they are, and how features, gradients and forces travel between processes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pyg_mpnn.engines.evaluator import numbers_of_atoms, parts
from pyg_mpnn.models import ZBL, EnergyModel, Potential, SumPotential
from pyg_mpnn.models.checks import check_apart

__all__ = ["Halo", "HaloResult", "evaluate_halo"]


class Halo:
    r"""The atoms of other processes that own atoms see, each once, however many periodic images of it are seen.

    A process owns atoms and computes their features. Before each layer it fetches those of its halo; in the backward
    pass the derivatives travel the other way and are added up at home. So no process does a layer's work on an atom
    that it does not own, and the halo is one cutoff wide whatever the number of layers.

    Args:
        comm: communicator of mpi4py.
        tags: global number of each atom, the own atoms first, then images ("ghosts"), which may be of own atoms.
        num_own: number of own atoms.

    Shapes:
        ``tags`` ``(atoms,)``; ``node`` ``(atoms,)``: row of each atom among ``num_nodes`` rows, own atoms first, then
        the halo.

    Raises:
        RuntimeError: an image of an atom that no process owns.

    Source:
        own design; the exchange of features between layers as in Park et al., J. Chem. Theory Comput. 20, 4857 (2024),
        doi:10.1021/acs.jctc.4c00190 (SevenNet), here with collective calls of MPI.
    """

    def __init__(self, comm: Any, tags: np.ndarray, num_own: int) -> None:
        self.comm, self.num_own = comm, num_own
        own, ghosts = tags[:num_own], tags[num_own:]
        order = np.argsort(own, kind="stable")
        place = np.searchsorted(own, ghosts, sorter=order).clip(max=max(num_own - 1, 0))
        local = own[order[place]] == ghosts if num_own else np.zeros(len(ghosts), dtype=bool)
        wanted, slot = np.unique(ghosts[~local], return_inverse=True)
        owner, index = self._find(own, wanted)
        by_owner = np.argsort(owner, kind="stable")
        rank_of_slot = np.empty(len(wanted), dtype=np.int64)
        rank_of_slot[by_owner] = np.arange(len(wanted))
        self.receive_counts = np.bincount(owner, minlength=comm.size)
        asked, self.send_counts = self._to_ranks(index[by_owner], self.receive_counts)
        self.send_index = torch.from_numpy(asked)
        node = np.arange(len(tags), dtype=np.int64)
        images = node[num_own:]  # a view
        if num_own:
            images[local] = order[place[local]]
        images[~local] = num_own + rank_of_slot[slot]
        self.node = torch.from_numpy(node)
        self.num_nodes = num_own + len(wanted)
        self.bytes_sent = 0

    def _find(self, own: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Process and place of each wanted atom, asked from the process that keeps this part of a directory."""
        size = self.comm.size
        entries = np.stack([own, np.full_like(own, self.comm.rank), np.arange(len(own))], axis=1).astype(np.int64)
        keeper = own % size
        order = np.argsort(keeper, kind="stable")
        directory, _ = self._to_ranks(entries[order], np.bincount(keeper, minlength=size))
        directory = directory[np.argsort(directory[:, 0], kind="stable")]
        keeper = wanted % size
        order = np.argsort(keeper, kind="stable")
        asked, counts = self._to_ranks(wanted[order].astype(np.int64), np.bincount(keeper, minlength=size))
        place = np.searchsorted(directory[:, 0], asked).clip(max=max(len(directory) - 1, 0))
        found = directory[place] if len(directory) else np.zeros((len(asked), 3), dtype=np.int64) - 1
        lost = self.comm.allreduce(int((found[:, 0] != asked).sum()))
        if lost:
            raise RuntimeError(f"{lost} images are of atoms that no process owns: atoms were lost")
        answers, _ = self._to_ranks(np.ascontiguousarray(found[:, 1:]), counts)
        result = np.empty_like(answers)
        result[order] = answers
        return result[:, 0], result[:, 1]

    def _to_ranks(self, rows: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Send rows, sorted by process, and return what the others sent and how many rows each."""
        counts = counts.astype(np.int64)
        incoming = np.empty_like(counts)
        self.comm.Alltoall(counts, incoming)
        return self._alltoallv(np.ascontiguousarray(rows), counts, incoming), incoming

    def _alltoallv(self, rows: np.ndarray, counts: np.ndarray, incoming: np.ndarray) -> np.ndarray:
        width = int(np.prod(rows.shape[1:], dtype=np.int64))
        result = np.empty((int(incoming.sum()), *rows.shape[1:]), dtype=rows.dtype)
        self.comm.Alltoallv([rows, counts * width], [result, incoming * width])
        return result

    def fetch(self, own: Tensor) -> Tensor:
        """Rows of the halo from the rows of own atoms.

        Args:
            own: ``(own, channels)``.

        Returns:
            ``(halo, channels)``.
        """
        rows = own.index_select(0, self.send_index).numpy()
        self.bytes_sent += rows.nbytes
        return torch.from_numpy(self._alltoallv(rows, self.send_counts, self.receive_counts))

    def bring_home(self, halo: Tensor) -> Tensor:
        """Rows of the halo to the processes that own its atoms, added up there: the transpose of :meth:`fetch`.

        Args:
            halo: ``(halo, channels)``.

        Returns:
            ``(own, channels)``.
        """
        rows = halo.contiguous().numpy()
        self.bytes_sent += rows.nbytes
        received = torch.from_numpy(self._alltoallv(rows, self.receive_counts, self.send_counts))
        return received.new_zeros(self.num_own, *received.shape[1:]).index_add(0, self.send_index, received)

    def exchange(self, x: Tensor | None, density: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """Features of own atoms and halo from those of the own atoms, in one message; differentiable.

        Args:
            x: node features of the own atoms, or none.
            density: their directional density, or none.

        Returns:
            both with the rows of the halo below.
        """
        present = [tensor for tensor in (x, density) if tensor is not None]
        if not present:
            return None, None
        flat = [tensor.flatten(1) for tensor in present]
        rows = _Fetch.apply(torch.cat(flat, dim=1), self)  # type: ignore[no-untyped-call]
        halo = rows.split([part.shape[1] for part in flat], dim=1)
        whole = iter([torch.cat([own, far.view(-1, *own.shape[1:])]) for own, far in zip(present, halo, strict=True)])
        return None if x is None else next(whole), None if density is None else next(whole)


class _Fetch(torch.autograd.Function):
    """:meth:`Halo.fetch`, whose derivative is :meth:`Halo.bring_home`."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, halo: Halo) -> Tensor:
        """Fetch."""
        ctx.halo = halo
        return halo.fetch(own)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        """Bring the derivatives home."""
        return ctx.halo.bring_home(grad), None


class HaloResult(NamedTuple):
    """Energy in eV and virial in eV ``(3, 3)`` of all processes, forces in eV/A on the own atoms ``(own, 3)``."""

    energy: float
    forces: Tensor
    virial: Tensor


def evaluate_halo(
    potential: EnergyModel | SumPotential,
    halo: Halo,
    z: Tensor,
    edge_index: Tensor,
    edge_vec: Tensor,
    inputs: Mapping[str, float],
) -> HaloResult:
    r"""Energy, forces and virial of a structure that is divided among processes.

    .. math:: g_{ij} = \frac{\partial E}{\partial r_{ij}}, \quad F_i = \sum_j (g_{ij} - g_{ji}), \quad
              W = -\sum_{ij} r_{ij} \otimes g_{ij}

    with the edge vectors :math:`r_{ij}`: each process has the edges that end in its own atoms.

    Args:
        potential: any potential; its representation must take ``exchange``, as :class:`~pyg_mpnn.MPNN` does.
        halo: the atoms.
        z: atomic numbers of own atoms and halo.
        edge_index: edges among them, source first; targets are own atoms.
        edge_vec: vectors from centre to neighbour in A.
        inputs: numbers of the structure that the potential reads.

    Returns:
        energy and virial of the whole, forces on own atoms.

    Source:
        own design; the virial of pairs is textbook.
    """
    check_apart(edge_vec, edge_index)
    energy, virial = torch.zeros((), dtype=torch.float64), torch.zeros(3, 3, dtype=torch.float64)
    forces = torch.zeros(halo.num_nodes, 3, dtype=torch.float64)
    for part in parts(potential):
        inside = (edge_vec.square().sum(-1) < part.cutoff**2).nonzero().squeeze(-1)
        pairs, vec = edge_index.index_select(1, inside), edge_vec.index_select(0, inside).to(part.dtype)
        vec.requires_grad_(True)
        batch = torch.zeros_like(z)
        options = {**numbers_of_atoms(part, inputs, z), **domain_options(part, halo)}
        values = part.interaction_energies(z, pairs, vec, batch, 1, **options)[: halo.num_own]
        (grad,) = torch.autograd.grad(values.sum(), vec)
        _, reference = part.reference_energies(z[: halo.num_own], batch[: halo.num_own], 1)
        energy = energy + (values.detach().double() + reference).sum()
        grad, vec = grad.double(), vec.detach().double()
        forces = forces.index_add(0, pairs[1], grad).index_add(0, pairs[0], grad, alpha=-1)
        virial = virial - vec.T @ grad
    own = forces[: halo.num_own] + halo.bring_home(forces[halo.num_own :])
    totals = torch.from_numpy(_allreduce(halo.comm, torch.cat([energy.reshape(1), virial.flatten()]).numpy()))
    matrix = totals[1:].view(3, 3)
    return HaloResult(float(totals[0]), own, 0.5 * (matrix + matrix.T))


def domain_options(part: EnergyModel, halo: Halo | None) -> dict[str, Any]:
    """Keyword arguments that make a potential fetch features between layers: none for one without layers.

    Args:
        part: a potential, no sum.
        halo: what fetches them; none only to see whether the potential can.

    Returns:
        the arguments.

    Raises:
        ValueError: a potential whose features depend on further neighbours and that cannot fetch them.
    """
    if isinstance(part, ZBL):
        return {}
    if part.why_eager is not None:
        raise ValueError(f"'potential' must read edges alone to run in several processes: {part.why_eager}")
    of = part.representation if isinstance(part, Potential) else part
    called = of.forward if isinstance(part, Potential) else part.interaction_energies
    if not {"exchange", "num_own"} <= inspect.signature(called).parameters.keys():
        raise ValueError(
            f"'potential' must take 'num_own' and 'exchange' to run in several processes (as MPNN does), which "
            f"{type(of).__name__} does not: run it in one process"
        )
    return {} if halo is None else {"num_own": halo.num_own, "exchange": halo.exchange}


def _allreduce(comm: Any, values: np.ndarray) -> np.ndarray:
    result = np.empty_like(values)
    comm.Allreduce(values, result)
    return result
