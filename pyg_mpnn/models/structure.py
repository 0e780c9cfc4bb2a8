"""The input of a potential, checked once at its entrance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from pyg_mpnn.geometry import edge_vectors
from pyg_mpnn.geometry.neighbors import find
from pyg_mpnn.geometry.structures import Structures, as_plain, as_whole, check_structures, per_graph


class Structure(NamedTuple):
    """Tensors of one or more structures; edges may be absent.

    All are contiguous and of the dtype given here, whatever came in. Positions and cells are float64, so that a
    difference of positions far from the origin is as exact as the positions; networks get it in their own dtype.
    """

    z: Tensor  # (nodes,), int64
    pos: Tensor  # (nodes, 3), float64
    batch: Tensor  # (nodes,), int64, sorted
    num_graphs: int
    cell: Tensor | None  # (graphs, 3, 3), float64
    pbc: Tensor | None  # (graphs, 3), bool
    edge_index: Tensor | None  # (2, edges), int64
    shifts: Tensor | None  # (edges, 3), int64
    reach: float | None  # cutoff that the edges came with, in A
    checked: Structures  # the same, for a neighbour search
    inputs: Mapping[str, Tensor] = MappingProxyType({})  # numbers of the graphs by name, (graphs,), float64

    def of_atoms(self, names: Sequence[str]) -> dict[str, Tensor]:
        """Numbers of the graphs by name, for each atom, ``(nodes,)``."""
        return {name: self.inputs[name].index_select(0, self.batch) for name in names}

    @property
    def requires_grad(self) -> bool:
        """Whether the caller wants derivatives with respect to positions or cells."""
        return self.pos.requires_grad or (self.cell is not None and self.cell.requires_grad)

    def with_edges(self, cutoff: float) -> Structure:
        """Edges up to the cutoff, found now unless they came with the structure."""
        if self.edge_index is not None:
            if self.reach is not None and self.reach < cutoff * (1.0 - 1e-6):
                raise ValueError(
                    f"'edge_index' must hold all edges up to the cutoff of the potential ({cutoff:g} A), got those up "
                    f"to {self.reach:g} A: use RadiusGraph({cutoff:g}), or give no edges."
                )
            return self
        edges = find(self.checked, cutoff)
        return self._replace(edge_index=edges.edge_index, shifts=edges.shifts)

    def within(self, cutoff: float) -> Structure:
        """The same structure with only the edges shorter than a smaller cutoff."""
        assert self.edge_index is not None
        vec = self.edge_vectors(self.pos.detach())
        inside = (vec.square().sum(-1) < cutoff**2).nonzero().squeeze(-1)
        shifts = None if self.shifts is None else self.shifts[inside]
        return self._replace(edge_index=self.edge_index.index_select(1, inside), shifts=shifts)

    def sorted_by_receiver(self) -> Structure:
        """The same edges with their receivers in order."""
        assert self.edge_index is not None
        target = self.edge_index[1]
        if bool((target[1:] >= target[:-1]).all()):
            return self
        order = target.argsort(stable=True)
        shifts = None if self.shifts is None else self.shifts[order]
        return self._replace(edge_index=self.edge_index.index_select(1, order), shifts=shifts)

    def edge_vectors(self, pos: Tensor, cell: Tensor | None = None) -> Tensor:
        """Vectors from centre to neighbour in angstrom, float64, ``(edges, 3)``.

        Args:
            pos: positions to take in place of the structure's own.
            cell: cells to take in place of the structure's own.

        Returns:
            one vector per edge.
        """
        assert self.edge_index is not None
        cell = self.cell if cell is None else cell
        return edge_vectors(pos, self.edge_index, None if cell is None else self.shifts, cell, self.batch)


def read_structure(
    data: Data | Tensor,
    pos: Tensor | None,
    batch: Tensor | None,
    cell: Tensor | None,
    pbc: Tensor | None,
    edge_index: Tensor | None,
    shifts: Tensor | None,
) -> Structure:
    """Take a structure from a PyG ``Data`` or ``Batch``, or from plain tensors, and check it.

    Args:
        data: a PyG object with ``z`` and ``pos``, or the atomic numbers. Its ``edge_index`` is used only beside
            ``shifts``, as :class:`~pyg_mpnn.RadiusGraph` attaches both: alone it may be the chemical bonds. The
            ``cutoff`` beside them is compared with the potential's.
        pos: positions in angstrom, with atomic numbers only, like all that follow.
        batch: graph of each atom, in order.
        cell: cell vectors in rows, in angstrom.
        pbc: periodic directions; needed with a cell.
        edge_index: edges, source j first.
        shifts: whole cells between the atoms of each edge.

    Returns:
        the structure in one layout.

    Raises:
        TypeError: positions missing or not floating, other tensors of a wrong dtype.
        ValueError: shapes that do not fit, values that are not finite, shifts that are not whole, autocast.
    """
    num_graphs, reach = None, None
    if isinstance(data, Data):
        if pos is not None:
            raise TypeError("'pos' and other tensors must not be given beside a PyG object, which holds its own")
        fields = ("z", "pos", "batch", "cell", "pbc", "edge_index", "shifts")
        z, pos, batch, cell, pbc, edge_index, shifts = (data.get(name) for name in fields)
        if shifts is None:
            edge_index = None  # not neighbours within the cutoff but, as in PyG's QM9, chemical bonds
        num_graphs = data.num_graphs if isinstance(data, Batch) else None
        reach = None if data.get("cutoff") is None else float(torch.as_tensor(data.get("cutoff")).min())
    else:
        z = data
    if z is None or pos is None:
        missing = "z" if z is None else "pos"
        raise TypeError(
            f"'{missing}' must be given: a potential needs atomic numbers 'z' and positions 'pos', got None"
        )
    checked = check_structures(pos, batch, num_graphs, cell, pbc)
    if torch.is_autocast_enabled(pos.device.type):
        raise ValueError(
            "'autocast' must be off where a potential is called, got it on, which would round its sums unseen: call it "
            f"under torch.autocast({pos.device.type!r}, enabled=False)"
        )
    z = _check_numbers(z, pos)
    if checked.cell is None or checked.pbc is None or cell is None:
        cell, pbc = None, None
    else:
        cell = as_plain(per_graph(cell, (3, 3), "cell", checked.num_graphs), torch.float64).to(pos.device)
        pbc = checked.pbc.to(pos.device)
    if edge_index is not None:
        edge_index, shifts = _check_edges(edge_index, shifts, checked)
    pos = as_plain(pos, torch.float64)
    checked = checked._replace(pos=pos.detach())  # a search in the precision of the differences
    return Structure(z, pos, checked.batch, checked.num_graphs, cell, pbc, edge_index, shifts, reach, checked)


def read_inputs(
    data: Data | Tensor,
    names: Sequence[str],
    optional: Sequence[str],
    num_graphs: int,
    inputs: Mapping[str, float | Tensor] | None = None,
) -> dict[str, Tensor]:
    """Take numbers of the graphs, such as their total charges, from a PyG object or a mapping, and check them.

    Args:
        data: a PyG object, or the atomic numbers, which come without.
        names: fields that must be there.
        optional: fields that are taken where they are there.
        num_graphs: number of graphs.
        inputs: the fields beside plain tensors, one number for all graphs or one for each.

    Returns:
        the fields, float64, ``(graphs,)`` each.

    Raises:
        ValueError: a field is missing, of another length, not finite, or one that the model does not read.
        TypeError: ``inputs`` beside a PyG object.
    """
    known, found = dict.fromkeys((*names, *optional)), {}
    if inputs and isinstance(data, Data):
        raise TypeError("'inputs' must not be given beside a PyG object, whose fields they are")
    given: Any = data if isinstance(data, Data) else inputs or {}
    unknown = [name for name in inputs or {} if name not in known]
    if unknown:
        raise ValueError(f"'inputs' must be what the model reads ({', '.join(known) or 'nothing'}), got {unknown[0]!r}")
    for name in known:
        value = given.get(name)
        if value is None and name in names:
            where = "'data' must have the field" if isinstance(data, Data) else "'inputs' must hold"
            raise ValueError(
                f"{where} {name!r}, one number a structure, which the representation names in 'graph_inputs', got none"
            )
        if value is not None:
            value = torch.as_tensor(value).double()
            value = value.expand(num_graphs) if inputs and not value.ndim else value.reshape(-1)
            if len(value) != num_graphs or not bool(value.isfinite().all()):
                raise ValueError(
                    f"{name!r} must hold one finite number for each of {num_graphs} structures, got {value.tolist()}"
                )
            found[name] = value.to(data.z.device if isinstance(data, Data) else data.device)
    return found


def fixed_inputs(names: Sequence[str], inputs: Mapping[str, float] | None) -> dict[str, float]:
    """The numbers that a model reads of every structure from now on, as a file or a run of an engine has them.

    Args:
        names: what the model reads.
        inputs: a number for each.

    Returns:
        the numbers, in the order of the names.

    Raises:
        ValueError: one is missing, not finite, or is not read.
    """
    given = dict(inputs or {})
    missing = [name for name in names if name not in given]
    if given and not names:
        raise ValueError(f"'inputs' must be left out: the potential reads elements and positions only, got {given}")
    if missing or given.keys() - set(names):
        raise ValueError(
            f"'inputs' must hold a number for each of {', '.join(names)}, which the potential reads of a structure, "
            f"got {given or 'none'}: give for instance inputs={dict.fromkeys(names, 0)}"
        )
    for name, value in given.items():
        if not math.isfinite(value):
            raise ValueError(f"'inputs' must hold finite numbers, got {value} for {name!r}")
    return {name: float(given[name]) for name in names}


def _check_numbers(z: Tensor, pos: Tensor) -> Tensor:
    if not isinstance(z, Tensor):
        raise TypeError(f"'z' must be a tensor of atomic numbers, got {type(z).__name__}: use torch.as_tensor.")
    if z.shape != pos.shape[:1]:
        raise ValueError(f"'z' must have shape (nodes,) = ({len(pos)},), as 'pos' says, got {tuple(z.shape)}.")
    return as_whole(z, "z")


def _check_edges(edge_index: Tensor, shifts: Tensor | None, checked: Structures) -> tuple[Tensor, Tensor | None]:
    """What can be checked at no cost; what takes a search is checked by :func:`pyg_mpnn.check_edges`."""
    if edge_index.ndim != 2 or edge_index.shape[0] != 2:
        raise ValueError(f"'edge_index' must have the shape (2, edges), got {tuple(edge_index.shape)}")
    num_nodes, num_edges = len(checked.pos), edge_index.shape[1]
    edge_index = as_whole(edge_index, "edge_index")
    low, high = map(int, edge_index.aminmax()) if num_edges else (0, -1)
    if low < 0 or high >= num_nodes:
        raise ValueError(f"'edge_index' must hold atoms 0 to {num_nodes - 1}, got {low} to {high}")
    if checked.num_graphs > 1:
        source, target = checked.batch[edge_index]
        if not torch.equal(source, target):
            edge = int((source != target).nonzero()[0])
            raise ValueError(
                f"'edge_index' must join atoms of one structure, got edge {edge} from atom {int(edge_index[0, edge])} "
                f"of graph {int(source[edge])} to atom {int(edge_index[1, edge])} of graph {int(target[edge])}."
            )
    if shifts is None:
        if checked.pbc is not None:
            raise ValueError("'shifts' must be given with the edges of a periodic structure, got None")
        return edge_index, None
    if shifts.shape != (num_edges, 3):
        raise ValueError(f"'shifts' must have the shape ({num_edges}, 3), got {tuple(shifts.shape)}")
    return edge_index, _check_shifts(shifts, edge_index, checked)


def _check_shifts(shifts: Tensor, edge_index: Tensor, checked: Structures) -> Tensor:
    if shifts.is_floating_point():
        whole = shifts.detach().round()
        broken = (whole != shifts) | ~whole.isfinite()
        if bool(broken.any()):
            edge = int(broken.any(dim=1).nonzero()[0])
            raise ValueError(
                f"'shifts' must be whole numbers of cells, got {shifts[edge].tolist()} for edge {edge}: pass whole "
                "cells, not angstrom."
            )
        shifts = whole.long()
    shifts = as_whole(shifts, "shifts")
    fixed = shifts  # where no direction is periodic
    if checked.pbc is not None:
        if bool(checked.pbc.all()):
            return shifts
        fixed = shifts * ~checked.pbc.to(shifts.device)[checked.batch[edge_index[1]]]
    if bool(fixed.any()):
        edge = int(fixed.any(dim=1).nonzero()[0])
        raise ValueError(
            f"'shifts' must be zero along directions that are not periodic, got {shifts[edge].tolist()} for edge "
            f"{edge}: pass 'cell' and 'pbc', or correct the shifts."
        )
    return shifts
