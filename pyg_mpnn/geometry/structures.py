"""Structures as tensors: their checks, and one layout for all that follows."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

_WHOLE = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


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
    """Check positions, batch, cell and periodic directions, for neighbour searches and potentials alike.

    Args:
        pos: positions in angstrom, ``(nodes, 3)``, float32 or float64.
        batch: structure of each atom, sorted; None for a single structure.
        num_graphs: number of structures; None for that of the cells or of ``batch``.
        cell: cell vectors in rows, ``(3, 3)`` for all, ``(graphs, 3, 3)``, or those one below the other.
        pbc: periodic directions, ``(3,)`` for all, ``(graphs, 3)``, or those one after the other.

    Returns:
        the structures, in one layout.

    Raises:
        ValueError: a wrong shape, number or combination; values that are not finite; ``batch`` not sorted; linearly
            dependent periodic vectors.
        TypeError: not a tensor, or one of a wrong dtype.
    """
    _check_tensors(pos=pos, batch=batch, cell=cell, pbc=pbc)
    if pos.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"'pos' must be float32 or float64, got {pos.dtype}: convert it, e.g. pos.double().")
    if pos.dim() != 2 or pos.shape[1] != 3:
        raise ValueError(f"'pos' must have shape (nodes, 3), got {tuple(pos.shape)}: pass one row x, y, z per atom.")
    pos = as_plain(pos.detach(), pos.dtype)
    extent, offset = _span(pos)
    if num_graphs is None and batch is not None and cell is not None and cell.dim() == 3:
        num_graphs = cell.shape[0]
    batch, num_graphs = _check_batch(batch, num_graphs, pos)
    cell, pbc = _check_cell(cell, pbc, num_graphs)
    return Structures(pos, batch, num_graphs, cell, pbc, extent, offset)


def as_plain(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """The same values in the one form that everything behind the entrance takes, compiled code above all.

    Compiled code reads memory as it was in its example, whatever strides and dtype a tensor has. So the result is
    contiguous, of the given dtype, of torch's own class, and no inference tensor outside of inference mode. It is
    differentiable, and the tensor itself where that is so already.
    """
    usual = type(tensor) is Tensor and tensor.dtype == dtype and tensor.is_contiguous()
    if usual and not tensor.is_neg() and not tensor.is_inference():
        return tensor  # what follows would be the same, in more time
    if type(tensor) is not Tensor and hasattr(tensor, "as_tensor"):  # PyG's own classes for indices
        tensor = tensor.as_tensor()
    if isinstance(tensor, nn.Parameter):
        tensor = tensor.view_as(tensor)
    tensor = tensor.to(dtype).resolve_neg().contiguous()
    return tensor.clone() if tensor.is_inference() and not torch.is_inference_mode_enabled() else tensor


def as_whole(tensor: Tensor, name: str) -> Tensor:
    """A tensor of whole numbers as int64.

    Args:
        tensor: of any dtype of whole numbers.
        name: what it is called in the message.

    Returns:
        the same numbers, int64.

    Raises:
        TypeError: another dtype.
    """
    if tensor.dtype not in _WHOLE:
        raise TypeError(f"'{name}' must hold whole numbers, got {tensor.dtype}: convert it, e.g. {name}.long().")
    return as_plain(tensor, torch.long)


def per_graph(tensor: Tensor, shape: tuple[int, ...], name: str, num_graphs: int) -> Tensor:
    """One entry for each structure, from one for all, one for each, or these joined along their first axis as PyG does.

    Args:
        tensor: entries.
        shape: shape of an entry.
        name: what it is called in the message.
        num_graphs: number of structures.

    Returns:
        entries, ``(graphs, *shape)``.

    Raises:
        ValueError: another shape.
    """
    if tensor.shape == shape:
        return tensor.expand(num_graphs, *shape)
    if tensor.shape == (num_graphs * shape[0], *shape[1:]):
        return tensor.reshape(num_graphs, *shape)
    if tensor.shape != (num_graphs, *shape):
        raise ValueError(
            f"'{name}' must have shape {shape} or {(num_graphs, *shape)}, got {tuple(tensor.shape)}: "
            "pass one for all graphs or one for each."
        )
    return tensor


def heights(cell: Tensor) -> Tensor:
    """Distances between opposite faces of each cell, in A, ``(graphs, 3)``."""
    result: Tensor = 1.0 / torch.linalg.inv(cell).norm(dim=1)
    return result


def complete_cell(cell: Tensor, pbc: Tensor) -> Tensor:
    """Replace the vectors of non-periodic directions by unit vectors orthogonal to the periodic ones.

    What a file gives there (zeros, a box around the molecule) has no meaning for neighbours.
    """
    _, _, basis = torch.linalg.svd(cell * pbc.unsqueeze(-1))  # its last rows are orthogonal to the periodic vectors
    row = pbc.sum(1, keepdim=True) + (~pbc).cumsum(1) - 1  # (graphs, 3)
    orthogonal = basis.gather(1, row.clamp(max=2).unsqueeze(-1).expand(-1, 3, 3))
    return torch.where(pbc.unsqueeze(-1), cell, orthogonal)


def _check_tensors(**tensors: Tensor | None) -> None:
    for name, tensor in tensors.items():
        if tensor is None:
            continue
        if not isinstance(tensor, Tensor) or tensor.layout != torch.strided or tensor.is_nested or tensor.is_meta:
            kind = type(tensor).__name__
            if isinstance(tensor, Tensor):
                held = "one on the meta device" if tensor.is_meta else "a nested one"
                kind = held if tensor.layout == torch.strided else str(tensor.layout)
            raise TypeError(f"'{name}' must be a dense tensor, got {kind}: convert it, e.g. with torch.as_tensor.")
    devices = {tensor.device for tensor in (tensors.get("pos"), tensors.get("batch")) if tensor is not None}
    if len(devices) > 1:
        raise ValueError(f"'batch' must be on the device of 'pos', got {sorted(map(str, devices))}: move one.")


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
    batch = as_whole(batch, "batch")
    if batch.shape != (num_nodes,):
        raise ValueError(
            f"'batch' must have shape (nodes,) = ({num_nodes},), got {tuple(batch.shape)}: pass the graph of each atom."
        )
    first, last = map(int, batch.aminmax()) if num_nodes else (0, -1)
    if first < last and bool((batch.diff() < 0).any()):
        atom = int((batch.diff() < 0).nonzero()[0]) + 1
        raise ValueError(f"'batch' must be sorted, got a smaller graph at atom {atom}: order the atoms by graph.")
    num_graphs = max(1, last + 1) if num_graphs is None else num_graphs
    if first < 0 or last >= num_graphs:
        raise ValueError(
            f"'batch' must lie in 0..{num_graphs - 1} for {num_graphs} graphs, got {first}..{last}: "
            "pass the right 'num_graphs', or a cell for each."
        )
    return batch, num_graphs


def _check_cell(cell: Tensor | None, pbc: Tensor | None, num_graphs: int) -> tuple[Tensor | None, Tensor | None]:
    if pbc is None:
        if cell is not None:
            raise ValueError("'pbc' must be given with a 'cell', got None: pass which of its directions are periodic.")
        return None, None
    pbc = per_graph(pbc.detach().cpu(), (3,), "pbc", num_graphs)
    if pbc.dtype != torch.bool:
        raise TypeError(f"'pbc' must be bool, got {pbc.dtype}: convert it with pbc.bool().")
    if cell is None:
        if bool(pbc.any()):
            raise ValueError("'cell' must be given with periodic directions, got None: pass the cell vectors.")
        return None, None
    if not cell.is_floating_point():
        raise TypeError(f"'cell' must hold floating numbers, got {cell.dtype}: convert it, e.g. cell.double().")
    cell = per_graph(cell.detach().to("cpu", torch.float64), (3, 3), "cell", num_graphs)
    directions = int(pbc.sum())
    if directions < pbc.numel():
        _check_finite(cell)
    if directions == 0:
        return None, None
    cell = (complete_cell(cell, pbc) if directions < pbc.numel() else cell).contiguous()
    regular = torch.linalg.det(cell).abs() > 1e-6 * cell.norm(dim=2).prod(1)
    if not bool(regular.all()):
        _check_finite(cell)
        graph = int(regular.logical_not().nonzero()[0])
        raise ValueError(
            f"'cell' must have linearly independent periodic vectors, got {cell[graph].tolist()} for graph {graph}: "
            "correct the cell or 'pbc'."
        )
    return cell, pbc.contiguous()


def _check_finite(cell: Tensor) -> None:
    if not bool(cell.isfinite().all()):
        raise ValueError("'cell' must be finite, got nan or inf: check where it comes from.")
