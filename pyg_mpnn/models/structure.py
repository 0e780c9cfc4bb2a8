"""The input of a potential, checked once at its entrance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from pyg_mpnn.geometry import edge_vectors, neighbor_list


class Structure(NamedTuple):
    """Tensors of one or more structures; edges may be absent."""

    z: Tensor  # (nodes,)
    pos: Tensor  # (nodes, 3)
    batch: Tensor  # (nodes,)
    num_graphs: int
    cell: Tensor | None  # (graphs, 3, 3)
    pbc: Tensor | None  # (graphs, 3)
    edge_index: Tensor | None  # (2, edges)
    shifts: Tensor | None  # (edges, 3)
    inputs: Mapping[str, Tensor] = MappingProxyType({})  # numbers of the graphs by name, (graphs,), float64

    def with_edges(self, cutoff: float) -> Structure:
        """Edges up to the cutoff, found now unless they came with the structure."""
        if self.edge_index is not None:
            return self
        edges = neighbor_list(
            self.pos.detach(), cutoff, batch=self.batch, num_graphs=self.num_graphs, cell=self.cell, pbc=self.pbc
        )
        return self._replace(edge_index=edges.edge_index, shifts=edges.shifts)

    def within(self, cutoff: float) -> Structure:
        """The same structure with only the edges shorter than a smaller cutoff."""
        assert self.edge_index is not None
        vec = edge_vectors(self.pos.detach(), self.edge_index, self.shifts, self.cell, self.batch)
        inside = (vec.square().sum(-1) < cutoff**2).nonzero().squeeze(-1)
        shifts = None if self.shifts is None else self.shifts[inside]
        return self._replace(edge_index=self.edge_index[:, inside], shifts=shifts)

    def to(self, dtype: torch.dtype) -> Structure:
        """Positions and cells in another precision."""
        cell = None if self.cell is None else self.cell.to(dtype)
        return self._replace(pos=self.pos.to(dtype), cell=cell)

    def sorted_by_receiver(self) -> Structure:
        """The same edges with their receivers in order."""
        assert self.edge_index is not None
        target = self.edge_index[1]
        if bool((target[1:] >= target[:-1]).all()):
            return self
        order = target.argsort(stable=True)
        shifts = None if self.shifts is None else self.shifts[order]
        return self._replace(edge_index=self.edge_index[:, order], shifts=shifts)


def read_structure(
    data: Data | Tensor,
    pos: Tensor | None,
    batch: Tensor | None,
    cell: Tensor | None,
    pbc: Tensor | None,
    edge_index: Tensor | None,
    shifts: Tensor | None,
    *,
    dtype: torch.dtype,
) -> Structure:
    """Take a structure from a PyG ``Data`` or ``Batch``, or from plain tensors, and check it.

    Args:
        data: a PyG object with ``z`` and ``pos``, or the atomic numbers. Its ``edge_index`` is used only beside
            ``shifts``, as :class:`~pyg_mpnn.RadiusGraph` attaches both: alone it may be the chemical bonds.
        pos: positions in angstrom, with atomic numbers only, like all that follow.
        batch: graph of each atom, in order.
        cell: cell vectors in rows, in angstrom.
        pbc: periodic directions.
        edge_index: edges, source j first.
        shifts: whole cells between the atoms of each edge.
        dtype: dtype of the network.

    Returns:
        the structure, positions and cell in ``dtype``.

    Raises:
        TypeError: positions missing or not floating, atomic numbers not whole.
        ValueError: shapes that do not fit, or positions that are not finite.
    """
    num_graphs = None
    if isinstance(data, Data):
        if pos is not None:
            raise TypeError("'pos' and other tensors must not be given beside a PyG object, which holds its own")
        fields = ("z", "pos", "batch", "cell", "pbc", "edge_index", "shifts")
        z, pos, batch, cell, pbc, edge_index, shifts = (data.get(name) for name in fields)
        if shifts is None:
            edge_index = None  # not neighbours within the cutoff but, as in PyG's QM9, chemical bonds
        num_graphs = data.num_graphs if isinstance(data, Batch) else None
    else:
        z = data
    if z is None or pos is None:
        missing = "z" if z is None else "pos"
        raise TypeError(
            f"'{missing}' must be given: a potential needs atomic numbers 'z' and positions 'pos', got None"
        )
    _check_atoms(z, pos)
    z = z.long()
    batch = torch.zeros_like(z) if batch is None else batch
    if batch.shape != z.shape:
        raise ValueError(f"'batch' must have the shape of 'z', {tuple(z.shape)}, got {tuple(batch.shape)}")
    if cell is not None:
        cell = cell.to(dtype).reshape(-1, 3, 3)
        num_graphs = cell.shape[0] if num_graphs is None else num_graphs
    if num_graphs is None:
        num_graphs = int(batch.max()) + 1 if len(batch) else 1
    cell, pbc = _check_cell(cell, pbc, num_graphs)
    if edge_index is not None:
        _check_edges(edge_index, shifts, pbc, len(z))
    return Structure(z, pos.to(dtype), batch, num_graphs, cell, pbc, edge_index, shifts)


def read_inputs(
    data: Data | Tensor, names: Sequence[str], optional: Sequence[str], num_graphs: int
) -> dict[str, Tensor]:
    """Take numbers of the graphs, such as their total charges, from a PyG ``Data`` or ``Batch``, and check them.

    Args:
        data: a PyG object, or the atomic numbers, which come without.
        names: fields that must be there.
        optional: fields that are taken where they are there.
        num_graphs: number of graphs.

    Returns:
        the fields, float64, ``(graphs,)`` each.

    Raises:
        ValueError: a field is missing, of another length, or not finite.
    """
    found = {}
    for name in dict.fromkeys((*names, *optional)):
        value = data.get(name) if isinstance(data, Data) else None
        if value is None and name in names:
            raise ValueError(
                f"'data' must be a PyG object with the field {name!r}, one number a structure, which the "
                f"representation names in 'graph_inputs', got {'none' if isinstance(data, Data) else 'plain tensors'}"
            )
        if value is not None:
            value = torch.as_tensor(value, device=data.z.device).double().reshape(-1)
            if len(value) != num_graphs or not bool(value.isfinite().all()):
                raise ValueError(
                    f"{name!r} must hold one finite number for each of {num_graphs} structures, got {value.tolist()}"
                )
            found[name] = value
    return found


def _check_atoms(z: Tensor, pos: Tensor) -> None:
    if z.is_floating_point() or not pos.is_floating_point():
        raise TypeError(f"'z' must hold whole numbers and 'pos' floating ones, got {z.dtype} and {pos.dtype}")
    if z.ndim != 1 or pos.shape != (len(z), 3):
        raise ValueError(
            f"'z' must have the shape (nodes,) and 'pos' (nodes, 3), got {tuple(z.shape)} and {tuple(pos.shape)}"
        )
    if not bool(torch.isfinite(pos).all()):
        atom = int((~torch.isfinite(pos)).any(dim=1).nonzero()[0])
        raise ValueError(f"'pos' must be finite (in A), got {pos[atom].tolist()} for atom {atom}")


def _check_cell(cell: Tensor | None, pbc: Tensor | None, num_graphs: int) -> tuple[Tensor | None, Tensor | None]:
    if cell is not None and not bool(torch.isfinite(cell).all()):
        raise ValueError(f"'cell' must be finite (in A), got {cell.tolist()}")
    if pbc is None:
        return cell, None if cell is None else cell.new_ones((num_graphs, 3), dtype=torch.bool)
    if cell is None:
        if bool(pbc.any()):
            raise ValueError("'cell' must be given for a structure with periodic directions, got None")
        return None, None
    pbc = pbc.reshape(-1, 3)
    if cell.shape[0] != num_graphs or pbc.shape[0] not in (1, num_graphs):
        raise ValueError(
            f"'cell' and 'pbc' must hold one entry for each of {num_graphs} graphs, got {cell.shape[0]} and "
            f"{pbc.shape[0]}"
        )
    return cell, pbc.expand(num_graphs, 3)


def _check_edges(edge_index: Tensor, shifts: Tensor | None, pbc: Tensor | None, num_nodes: int) -> None:
    if edge_index.ndim != 2 or edge_index.shape[0] != 2:
        raise ValueError(f"'edge_index' must have the shape (2, edges), got {tuple(edge_index.shape)}")
    low, high = map(int, edge_index.aminmax()) if edge_index.numel() else (0, -1)
    if low < 0 or high >= num_nodes:
        raise ValueError(f"'edge_index' must hold atoms 0 to {num_nodes - 1}, got {low} to {high}")
    if shifts is not None and shifts.shape != (edge_index.shape[1], 3):
        raise ValueError(f"'shifts' must have the shape ({edge_index.shape[1]}, 3), got {tuple(shifts.shape)}")
    if shifts is None and pbc is not None and bool(pbc.any()):
        raise ValueError("'shifts' must be given with the edges of a periodic structure, got None")
