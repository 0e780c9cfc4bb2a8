"""What a neighbour search works on: structures whose positions, cells and batch have been checked."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Structures(NamedTuple):
    """Checked structures, free of gradients. Without a periodic direction anywhere, ``cell`` and ``pbc`` are None."""

    pos: Tensor  # (nodes, 3), float32 or float64
    batch: Tensor  # (nodes,), sorted
    num_graphs: int
    cell: Tensor | None  # (graphs, 3, 3), float64 on the CPU, completed
    pbc: Tensor | None  # (graphs, 3), on the CPU
    extent: float  # largest difference of two coordinates, in A
    offset: float  # largest coordinate, in A

    def margin(self, cutoff: float) -> float:
        """Bound on what rounding does to a distance near ``cutoff``, in A: searches look that much further."""
        skewness = 0.0
        if self.cell is not None:
            # |n_a a| <= (reach along the height of the cell) * |a| / height
            skewness = float((self.cell.norm(dim=2) * torch.linalg.inv(self.cell).norm(dim=1)).sum(1).amax())
        in_dtype = torch.finfo(self.pos.dtype).eps * (self.extent + cutoff)
        in_double = torch.finfo(torch.float64).eps * self.offset
        return 8.0 * (1.0 + skewness) * (in_dtype + in_double)


def check_structures(
    pos: Tensor, batch: Tensor | None, num_graphs: int | None, cell: Tensor | None, pbc: Tensor | None
) -> Structures:
    """Check the input of a neighbour search, with the errors that its docstring lists."""
    if pos.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"'pos' must be float32 or float64, got {pos.dtype}: convert it, e.g. pos.double().")
    if pos.dim() != 2 or pos.shape[1] != 3:
        raise ValueError(f"'pos' must have shape (nodes, 3), got {tuple(pos.shape)}: pass one row x, y, z per atom.")
    pos = pos.detach()
    extent, offset = _span(pos)
    if num_graphs is None and batch is not None and cell is not None and cell.dim() == 3:
        num_graphs = cell.shape[0]
    batch, num_graphs = _check_batch(batch, num_graphs, pos)
    cell, pbc = _check_cell(cell, pbc, num_graphs)
    return Structures(pos, batch, num_graphs, cell, pbc, extent, offset)


def complete_cell(cell: Tensor, pbc: Tensor) -> Tensor:
    """Replace the vectors of non-periodic directions by unit vectors orthogonal to the periodic ones.

    What a file gives there (zeros, a box around the molecule) has no meaning for neighbours.
    """
    _, _, basis = torch.linalg.svd(cell * pbc.unsqueeze(-1))  # its last rows are orthogonal to the periodic vectors
    row = pbc.sum(1, keepdim=True) + (~pbc).cumsum(1) - 1  # (graphs, 3)
    orthogonal = basis.gather(1, row.clamp(max=2).unsqueeze(-1).expand(-1, 3, 3))
    return torch.where(pbc.unsqueeze(-1), cell, orthogonal)


def _span(pos: Tensor) -> tuple[float, float]:
    if pos.shape[0] == 0:
        return 0.0, 0.0
    low, high = (float(bound) for bound in torch.aminmax(pos))
    if not (math.isfinite(low) and math.isfinite(high)):
        atom = int(pos.isfinite().all(1).logical_not().nonzero()[0])
        raise ValueError(f"'pos' must be finite, got {pos[atom].tolist()} for atom {atom}: check where it comes from.")
    return high - low, max(abs(low), abs(high))


def _check_batch(batch: Tensor | None, num_graphs: int | None, pos: Tensor) -> tuple[Tensor, int]:
    num_nodes = pos.shape[0]
    if batch is None:
        if num_graphs not in (None, 1):
            raise ValueError(f"'batch' must be given with several graphs, got None for {num_graphs} graphs: pass it.")
        return torch.zeros(num_nodes, dtype=torch.long, device=pos.device), 1
    if batch.dtype != torch.long or batch.shape != (num_nodes,):
        raise ValueError(
            f"'batch' must be int64 of shape (nodes,) = ({num_nodes},), got {batch.dtype} of shape "
            f"{tuple(batch.shape)}: pass the graph of each atom."
        )
    if bool((batch[1:] < batch[:-1]).any()):
        atom = int((batch[1:] < batch[:-1]).nonzero()[0]) + 1
        raise ValueError(f"'batch' must be sorted, got a smaller graph at atom {atom}: order the atoms by graph.")
    first, last = (int(batch[0]), int(batch[-1])) if num_nodes else (0, -1)
    num_graphs = last + 1 if num_graphs is None else num_graphs
    if first < 0 or last >= num_graphs:
        raise ValueError(
            f"'batch' must lie in 0..{num_graphs - 1} for {num_graphs} graphs, got {first}..{last}: "
            "pass the right 'num_graphs'."
        )
    return batch, num_graphs


def _check_cell(cell: Tensor | None, pbc: Tensor | None, num_graphs: int) -> tuple[Tensor | None, Tensor | None]:
    if pbc is None:
        if cell is not None:
            raise ValueError("'pbc' must be given with a cell, got None: pass which of its directions are periodic.")
        return None, None
    pbc = _per_graph(pbc.detach().cpu(), (3,), "pbc", num_graphs)
    if pbc.dtype != torch.bool:
        raise TypeError(f"'pbc' must be bool, got {pbc.dtype}: convert it with pbc.bool().")
    if cell is None:
        if bool(pbc.any()):
            raise ValueError("'cell' must be given with periodic directions, got None: pass the cell vectors.")
        return None, None
    cell = _per_graph(cell.detach().to("cpu", torch.float64), (3, 3), "cell", num_graphs)
    if not bool(cell.isfinite().all()):
        raise ValueError("'cell' must be finite, got nan or inf: check where it comes from.")
    if not bool(pbc.any()):
        return None, None
    cell = complete_cell(cell, pbc)
    lengths = cell.norm(dim=2).prod(1)
    singular = torch.linalg.det(cell).abs() <= 1e-6 * lengths
    if bool(singular.any()):
        graph = int(singular.nonzero()[0])
        raise ValueError(
            f"'cell' must have linearly independent periodic vectors, got {cell[graph].tolist()} for graph {graph}: "
            "correct the cell or 'pbc'."
        )
    return cell, pbc


def _per_graph(tensor: Tensor, shape: tuple[int, ...], name: str, num_graphs: int) -> Tensor:
    if tensor.shape == shape:
        return tensor.expand(num_graphs, *shape)
    if tensor.shape != (num_graphs, *shape):
        raise ValueError(
            f"'{name}' must have shape {shape} or {(num_graphs, *shape)}, got {tuple(tensor.shape)}: "
            "pass one for all graphs or one for each."
        )
    return tensor
