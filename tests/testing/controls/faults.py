"""What faults share: a dose, ranks of neighbours, cells, and laws that several of them may break, with the reason."""

from __future__ import annotations

import torch
from torch import Tensor

from pyg_mpnn.testing.healthy import System


def blend(good: Tensor, bad: Tensor, fault: float) -> Tensor:
    """From ``good`` at 0, to the last bit, to ``bad`` at 1."""
    return good + fault * (bad - good)


def rank_neighbours(key: Tensor, target: Tensor) -> Tensor:
    """Place of each edge, (edges,), among those of its centre, ordered by ``key``."""
    order = key.argsort(stable=True)
    order = order[target[order].argsort(stable=True)]
    count = torch.bincount(target)
    first = (count.cumsum(0) - count)[target[order]]
    return torch.empty_like(order).scatter(0, order, torch.arange(order.numel(), device=key.device) - first)


def fractional(s: System, vec: Tensor, graph: Tensor) -> Tensor:
    """Coordinates along the periodic cell vectors, 0 along the others, without gradient."""
    assert s.cell is not None
    assert s.pbc is not None
    periodic = s.cell.detach() * s.pbc.unsqueeze(-1)
    return torch.einsum("na,nab->nb", vec.detach(), torch.linalg.pinv(periodic)[graph]) * s.pbc[graph]


def atom_counts(s: System) -> Tensor:
    """Number of atoms of each structure, (graphs,), in the dtype of the positions."""
    return torch.bincount(s.batch, minlength=s.num_graphs).to(s.pos)


MOVES = ("translation", "rotation", "inversion", "atom_permutation", "edge_permutation", "batch_independence")
PERIODIC = ("supercell", "wrapping", "cell_choice")
SLOPES = ("forces", "stress", "nve", "double_backward", "smoothness_single", "smoothness_crowd")
CROSSING = dict.fromkeys(("forces", "stress", "nve"), "only where an atom crosses the cutoff during the test")
ON_CUTOFF = {
    **CROSSING,
    **dict.fromkeys(("translation", "rotation", *PERIODIC, "dtype"), "only for pairs at the cutoff within rounding"),
}
NEXT_CALL = dict.fromkeys(
    (*MOVES, *PERIODIC, *SLOPES, "size_extensivity", "isolated_atom", "momentum", "torque", "no_truncation",
     "near_atoms", "dtype", "save_load"),
    "compares results of several calls",
)  # fmt: skip
