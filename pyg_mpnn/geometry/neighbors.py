"""Neighbour lists: every pair of atoms within the cutoff, in molecules and in periodic cells."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from pyg_mpnn.geometry.backends import Backend, search
from pyg_mpnn.geometry.cutoffs import as_single_cutoff
from pyg_mpnn.geometry.edges import edge_vectors
from pyg_mpnn.geometry.structures import Structures, check_structures


class NeighborList(NamedTuple):
    """Edges of a neighbour list.

    ``edge_index`` holds the neighbour j (source) in row 0 and the centre i (target) in row 1; ``shifts`` the number of
    cells, along each cell vector, from j to its image.

    Shapes:
        edge_index (2, edges), shifts (edges, 3).
    """

    edge_index: Int64[Tensor, "2 edges"]
    shifts: Int64[Tensor, "edges 3"]


def neighbor_list(
    pos: Float[Tensor, "nodes 3"],
    cutoff: float,
    *,
    batch: Int64[Tensor, " nodes"] | None = None,
    num_graphs: int | None = None,
    cell: Float[Tensor, "3 3"] | Float[Tensor, "graphs 3 3"] | None = None,
    pbc: Bool[Tensor, "3"] | Bool[Tensor, "graphs 3"] | None = None,
    backend: Backend = "auto",
) -> NeighborList:
    r"""All pairs of atoms closer than the cutoff: exact, never truncated, the same from every back end.

    .. math:: \{(j, i, \mathbf{n}) : |\mathbf{r}_j + \mathbf{n} \mathsf{C} - \mathbf{r}_i| < r_c\} \setminus
        \{(i, i, \mathbf{0})\}

    with positions :math:`\mathbf{r}`, integer shifts :math:`\mathbf{n}` (zero along non-periodic directions), cell
    vectors as the rows of :math:`\mathsf{C}` and cutoff :math:`r_c`. Distances are compared in the dtype of ``pos``
    and the edges are sorted by (i, j, shift). Both directions of a pair are in the list, and an atom is the neighbour
    of its own images. Atoms need not lie inside the cell; vectors of non-periodic directions are ignored and may be
    zero.

    Args:
        pos: positions of the atoms, float32 or float64, finite.
        cutoff: radius, positive.
        batch: structure of each atom, sorted; None for a single structure.
        num_graphs: number of structures; needed where empty ones may come last.
        cell: cell vectors as rows, one cell for all structures or one for each.
        pbc: periodic directions, for all structures or for each; needed with a cell.
        backend: "torch-cluster" (open systems only), "vesin", "torch", or "auto": for open systems torch-cluster where
            it is installed, otherwise vesin, and on devices that these do not run on, plain torch.

    Returns:
        The edges and their shifts.

    Shapes:
        pos (nodes, 3), batch (nodes,), cell (3, 3) or (graphs, 3, 3), pbc (3,) or (graphs, 3); result (2, edges) and
        (edges, 3).

    Units:
        A.

    Raises:
        ValueError: a wrong shape, number or combination of arguments; positions or cell not finite; two atoms at the
            same place; linearly dependent periodic vectors; ``batch`` not sorted.
        TypeError: ``pos`` or ``pbc`` of a wrong dtype, ``cutoff`` not a number.
        ImportError: the back end that was asked for is not installed.

    Source:
        torch-cluster's ``radius_graph`` (M. Fey and J. E. Lenssen, arXiv:1903.02428), called until no centre reaches
        its limit of neighbours; vesin (https://luthaf.fr/vesin), a cell list; own design in plain torch.

    Example:
        >>> import torch
        >>> pos = torch.tensor([[0.0, 0.0, 0.0], [0.9, 0.0, 0.0]])
        >>> neighbor_list(pos, 1.0).edge_index
        tensor([[1, 0],
                [0, 1]])
        >>> wire = neighbor_list(pos, 1.2, cell=2.0 * torch.eye(3), pbc=torch.tensor([True, False, False]))
        >>> wire.shifts[:, 0]
        tensor([-1,  0,  0,  1])
    """
    return find(check_structures(pos, batch, num_graphs, cell, pbc), as_single_cutoff(cutoff), backend)


def check_edges(
    edges: NeighborList,
    pos: Float[Tensor, "nodes 3"],
    cutoff: float,
    *,
    batch: Int64[Tensor, " nodes"] | None = None,
    cell: Float[Tensor, "3 3"] | Float[Tensor, "graphs 3 3"] | None = None,
    pbc: Bool[Tensor, "3"] | Bool[Tensor, "graphs 3"] | None = None,
) -> None:
    """Refuse an edge list that is not complete: the check of edges from elsewhere that a potential does not repeat.

    For structures whose atoms are all there: a list with ghost atoms has edges in one direction only.

    Args:
        edges: the list, ``edge_index`` and ``shifts``.
        pos: positions of the atoms.
        cutoff: radius up to which all edges must be there; longer ones may be.
        batch: as for :func:`neighbor_list`.
        cell: as for :func:`neighbor_list`.
        pbc: as for :func:`neighbor_list`.

    Shapes:
        pos (nodes, 3), batch (nodes,), cell (3, 3) or (graphs, 3, 3), pbc (3,) or (graphs, 3).

    Units:
        A.

    Raises:
        ValueError: an edge that is missing, there twice or in one direction only; and the errors of
            :func:`neighbor_list`.

    Source:
        own design: comparison with :func:`neighbor_list`.

    Example:
        >>> import torch
        >>> pos = torch.tensor([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0], [4.0, 0.0, 0.0]])
        >>> check_edges(neighbor_list(pos, 3.0), pos, 3.0)
        >>> check_edges(neighbor_list(pos, 3.0), pos, 5.0)
        Traceback (most recent call last):
        ...
        ValueError: 'edges' must hold all pairs within 5 A, got none from atom ... to centre ... with shift [0, 0, 0].
    """
    given, count = torch.unique(_rows(edges), dim=0, return_counts=True)
    _refuse_rows(given[count > 1], "hold each pair once, got twice that")
    swapped = torch.cat([given[:, [1, 0]], -given[:, 2:]], dim=1)
    _refuse_rows(_missing(swapped, given), "hold both directions of each pair, got none")
    margin = 1e-6 * cutoff  # pairs at the cutoff within rounding have no say
    wanted = _rows(neighbor_list(pos, cutoff - margin, batch=batch, cell=cell, pbc=pbc))
    _refuse_rows(_missing(wanted, given), f"hold all pairs within {cutoff:g} A, got none")


def find(structures: Structures, cutoff: float, backend: Backend = "auto") -> NeighborList:
    """As :func:`neighbor_list`, for what is checked already."""
    edge_index, shifts = search(structures, cutoff + structures.margin(cutoff), backend)
    order = _order(edge_index, shifts, structures.pos.shape[0])
    return select(NeighborList(edge_index.index_select(1, order), shifts.index_select(0, order)), structures, cutoff)


def select(candidates: NeighborList, structures: Structures, cutoff: float) -> NeighborList:
    """The candidates that are closer than the cutoff in the dtype of the positions, in the same order."""
    edge_index, shifts = candidates
    pos, cell = structures.pos, structures.cell
    if cell is None:
        vec = edge_vectors(pos, edge_index)
    else:
        vec = edge_vectors(pos, edge_index, shifts, cell.to(pos), structures.batch)
    dist = torch.linalg.vector_norm(vec, dim=1)
    if not dist.all():
        edge = int((dist == 0.0).nonzero()[0])
        j, i = edge_index[:, edge].tolist()
        raise ValueError(
            f"'pos' must not hold coincident atoms, got atoms {i} and {j} at distance 0 "
            f"(cell shift {shifts[edge].tolist()}): remove one of them."
        )
    inside = (dist < cutoff).nonzero().squeeze(1)
    near = shifts.new_zeros(len(inside), 3) if cell is None else shifts.index_select(0, inside)
    return NeighborList(edge_index.index_select(1, inside), near)


def _order(edge_index: Tensor, shifts: Tensor, num_nodes: int) -> Tensor:
    """Order of the edges by (i, j, shift): stable sorts from the last key to the first."""
    pair = edge_index[1] * num_nodes + edge_index[0]
    if not bool(shifts.any()):
        return pair.argsort(stable=True)
    low, high = shifts.aminmax(dim=0)
    width = high - low + 1
    x, y, z = (shifts - low).unbind(1)
    order = ((x * width[1] + y) * width[2] + z).argsort(stable=True)
    return order[pair[order].argsort(stable=True)]


def _rows(edges: NeighborList) -> Tensor:
    """One row j, i, n for each edge."""
    return torch.cat([edges.edge_index.t(), edges.shifts], dim=1)


def _missing(wanted: Tensor, given: Tensor) -> Tensor:
    """Rows of the first that are not among those of the second, which has each once."""
    both = torch.cat([given, torch.unique(wanted, dim=0), given])
    rows, count = torch.unique(both, dim=0, return_counts=True)
    missing: Tensor = rows[count == 1]
    return missing


def _refuse_rows(rows: Tensor, problem: str) -> None:
    if len(rows):
        j, i, *shift = rows[0].tolist()
        raise ValueError(f"'edges' must {problem} from atom {j} to centre {i} with shift {shift}.")
